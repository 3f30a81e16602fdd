"""Unfinished work: the latest complete checkpoint is found after any kill, and old ones are removed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from learntoask.core.stages.contract import Shard
from learntoask.core.stages.publication import Publication
from learntoask.pod.work_upload import WorkUploader, file_states, snapshot
from learntoask.store.address import StoreAddress
from learntoask.store.folder import FolderStore
from learntoask.store.unfinished import Checkpoints, abandoned_keys, share_key, unfinished_address

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store" / "unfinished")


@pytest.fixture
def checkpoints(store: FolderStore) -> Checkpoints:
    return Checkpoints(store, stage="sft", key=KEY, of=KEY)


def _files(folder: Path, **contents: str) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in contents}


def _read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else {}


def test_unfinished_work_lies_below_the_store() -> None:
    assert unfinished_address(StoreAddress(uri="s3://lta/team")).uri == "s3://lta/team/unfinished"


def test_the_newest_is_brought_and_the_older_is_gone(
    store: FolderStore, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    assert checkpoints.restore(tmp_path / "none") == 0
    for number in range(5):
        checkpoints.save(_files(tmp_path / "work", weights=f"weights {number}", journal="as it was"))
    again = Checkpoints(store, stage="sft", key=KEY, of=KEY)
    assert again.restore(tmp_path / "next") == len("weights 4") + len("as it was")
    assert _read(tmp_path / "next") == {"weights": "weights 4", "journal": "as it was"}
    assert sorted(item.kind for item in store.items()) == ["blob", "blob", "publication"]
    with (tmp_path / "next" / "journal").open("a") as journal:  # the next attempt appends to a journal
        journal.write(", and more")
    assert again.restore(tmp_path / "other") > 0
    assert _read(tmp_path / "other")["journal"] == "as it was"
    again.forget()
    assert list(store.items()) == []


def test_a_checkpoint_that_was_cut_leaves_the_one_before(
    store: FolderStore, checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(_files(tmp_path / "work", weights="first"))

    def killed(publication: Publication) -> Publication:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(_files(tmp_path / "work", weights="second"))
    checkpoints.restore(tmp_path / "next")
    assert _read(tmp_path / "next") == {"weights": "first"}
    checkpoints.save(_files(tmp_path / "work", weights="third"))
    checkpoints.restore(tmp_path / "last")
    assert _read(tmp_path / "last") == {"weights": "third"}


def test_a_damaged_checkpoint_counts_as_none(
    store: FolderStore, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    checkpoints.save(_files(tmp_path / "work", weights="whole"))
    blob = next(path for path in store.root.glob("blobs/*/*"))
    blob.unlink()
    assert checkpoints.restore(tmp_path / "next") == 0
    checkpoints.save(_files(tmp_path / "work", weights="anew"))
    assert checkpoints.restore(tmp_path / "next") == len("anew")


def test_shares_have_keys_of_their_own() -> None:
    keys = {share_key(KEY, Shard(index=index, count=count)) for count in (2, 3) for index in range(count)}
    assert len(keys | {KEY}) == 6


def test_every_name_belongs_to_exactly_one_share() -> None:
    shares = [Shard(index=index, count=7) for index in range(7)]
    held = [[share.holds(f"session {number}") for share in shares] for number in range(1000)]
    assert all(sum(shards) == 1 for shards in held)
    assert all(sum(column) > 80 for column in zip(*held, strict=True))


def test_what_is_published_or_old_is_abandoned(store: FolderStore, tmp_path: Path) -> None:
    published = FolderStore(tmp_path / "store")
    for key in (KEY, "cd" * 32):
        Checkpoints(store, stage="sft", key=key, of=key).save(_files(tmp_path / "work", weights=key))
    assert abandoned_keys(store, published=published, unused_since=0.0) == set()
    published.publish(Publication(stage="sft", key=KEY, files=()))
    gone = abandoned_keys(store, published=published, unused_since=0.0)
    assert {found.summary["of"] for found in store.publications() if found.key in gone} == {KEY}
    assert len(abandoned_keys(store, published=published, unused_since=float("inf"))) == 2


def test_only_checkpoints_and_journals_are_looked_at(tmp_path: Path) -> None:
    _files(tmp_path, **{"sft.pt": "w", "sft.pt.host.part": "torn", "metrics.jsonl": "{}\n", "spool.bin": "s"})
    _files(tmp_path / "out", **{"model.pt": "w"})
    _files(tmp_path / "tensorboard", events="e")
    assert sorted(file_states(tmp_path)) == ["metrics.jsonl", "sft.pt", "tensorboard/events"]


def test_a_snapshot_never_mixes_two_checkpoints(tmp_path: Path) -> None:
    """A trainer saves the best weights first and then the checkpoint that refers to them."""
    work, over = tmp_path / "work", threading.Event()
    _files(work, **{"sft-best.pt": "0", "sft.pt": "0"})

    def train() -> None:
        update = 0
        while not over.is_set():
            update += 1
            for name in ("sft-best.pt", "sft.pt"):
                (work / "part").write_text(str(update))
                os.replace(work / "part", work / name)

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        for _ in range(100):
            _, files = snapshot(work, tmp_path / "copy")
            best, checkpoint = (int(files[name].read_text()) for name in ("sft-best.pt", "sft.pt"))
            assert best - checkpoint in (0, 1)
    finally:
        over.set()
        trainer.join()


def test_a_store_that_is_away_does_not_end_the_copying(
    store: FolderStore, checkpoints: Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = tmp_path / "work"
    _files(work)
    store.root.parent.mkdir(parents=True)
    store.root.write_text("no folder")
    with WorkUploader(checkpoints, work, interval=3600) as uploader:
        _files(work, **{"sft.pt": "w"})
    uploader.upload_last()
    assert "could not be copied" in caplog.text
    store.root.unlink()
    uploader.upload_last()
    assert checkpoints.restore(tmp_path / "next") == 1
