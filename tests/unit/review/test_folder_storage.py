"""Items and events in a folder: nothing is lost by killed writers, full disks or two servers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import pytest
from learntoask.core.errors import StoreError
from learntoask.review.records import Event, Retirement
from learntoask.review.storage.folder import FolderStorage
from worlds.review_items import item

WRITER = """
import sys
from pathlib import Path
from learntoask.review.records import Event
from learntoask.review.storage.folder import FolderStorage
storage = FolderStorage(Path(sys.argv[1]))
for n in range(10_000):
    event = Event(item="a" * 64, reviewer=sys.argv[2], n=n, kind="commented", time=1.0, comment="c" * 500)
    storage.append(event)
    print(n, flush=True)
"""


def event(n: int = 0, reviewer: str = "ann", **fields: object) -> Event:
    return Event.model_validate(
        {"item": "a" * 64, "reviewer": reviewer, "n": n, "kind": "answered", "time": 1.0, "answer": ("yes",)}
        | fields
    )


def stored(folder) -> list[Event]:
    return list(FolderStorage(folder).changes().events)


def test_what_one_server_stores_another_one_reads(tmp_path):
    one, two = FolderStorage(tmp_path / "q"), FolderStorage(tmp_path / "q")
    assert one.append(event(0)) == event(0)
    assert list(two.changes().events) == [event(0)]
    two.append(event(1))
    assert event(1) in one.changes().events
    assert two.events_of("a" * 64) == [event(0), event(1)]
    assert list(two.changes().events) == [event(1)]
    assert not two.changes().events


def test_an_event_that_is_there_is_not_replaced(tmp_path):
    one, two = FolderStorage(tmp_path), FolderStorage(tmp_path)
    one.append(event(0, id="first"))
    assert two.append(event(0, id="second")).id == "first"
    assert [found.id for found in stored(tmp_path)] == ["first"]


def test_items_are_added_once_and_their_first_retirement_stays(tmp_path):
    one, two = FolderStorage(tmp_path), FolderStorage(tmp_path)
    one.add_items([item(1), item(2)])
    two.add_items([item(2), item(3)])
    assert list(one.changes().items) == [item(1), item(2), item(3)]
    assert not one.changes().items
    one.retire([Retirement(item="a", reason="first")])
    two.retire([Retirement(item="a", reason="second"), Retirement(item="b", reason="b")])
    assert [found.reason for found in one.changes().retirements] == ["first", "b"]


@pytest.mark.parametrize("left", [1, 30, -1])
def test_a_line_that_a_killed_writer_left_unfinished_is_not_read_and_is_removed_by_the_next_writer(
    tmp_path, left
):
    FolderStorage(tmp_path).append(event(0))
    line = event(1).model_dump_json().encode()[:left]
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(line)
    assert stored(tmp_path) == [event(0)]
    FolderStorage(tmp_path).append(event(1, id="again"))
    assert stored(tmp_path) == [event(0), event(1, id="again")]


def test_a_full_disk_refuses_the_event_and_leaves_the_file_whole(tmp_path, monkeypatch):
    storage = FolderStorage(tmp_path)
    storage.append(event(0))
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 20:
            return write(descriptor, data[:20])
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StoreError, match="no space left"):
            storage.append(event(1))
    assert (tmp_path / "events.jsonl").read_bytes() == event(0).model_dump_json().encode() + b"\n"
    storage.append(event(1))
    assert stored(tmp_path) == [event(0), event(1)]


def test_a_damaged_line_is_named_and_the_others_stay(tmp_path):
    storage = FolderStorage(tmp_path)
    for n in range(3):
        storage.append(event(n))
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    (tmp_path / "events.jsonl").write_text("\n".join([lines[0], lines[1][:-9] + '"x"}', lines[2], ""]))
    with pytest.raises(StoreError, match=r"events\.jsonl, line 2 is not an event"):
        FolderStorage(tmp_path).changes()


def test_a_file_that_became_shorter_is_an_error(tmp_path):
    storage = FolderStorage(tmp_path)
    storage.append(event(0))
    storage.changes()
    (tmp_path / "events.jsonl").write_bytes(b"")
    with pytest.raises(StoreError, match="became shorter"):
        storage.changes()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        FolderStorage(tmp_path / "file" / "q").append(event())


def test_threads_of_one_server_get_different_numbers(tmp_path):
    storage = FolderStorage(tmp_path)
    won: list[int] = []

    def write(name: int) -> None:
        for n in range(20):
            won.extend([n] if storage.append(event(n, id=f"{name}")).id == f"{name}" else [])

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(won) == list(range(20))
    assert len(stored(tmp_path)) == 20


def test_what_two_processes_wrote_before_they_were_killed_is_there(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name], stdout=subprocess.PIPE, text=True
        )
        for name in ("ann", "bob")
    ]
    said = {}
    for writer, name in zip(writers, ("ann", "bob"), strict=True):
        assert writer.stdout is not None
        for line in writer.stdout:
            said[name] = int(line)
            if said[name] == 50:
                break
    for writer in writers:
        writer.kill()
        writer.communicate(timeout=30)
    FolderStorage(tmp_path).append(event(0, reviewer="eve"))
    found = stored(tmp_path)
    for name, last in said.items():
        numbers = [each.n for each in found if each.reviewer == name]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > last
