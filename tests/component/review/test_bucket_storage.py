"""A queue in a bucket of a real MinIO: two servers, a store that is away, requests whose response is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import initialize, run_state_machine_as_test
from learntoask.core.errors import InputError, StoreError
from learntoask.review.records import Event, Freeze
from learntoask.review.storage import bucket as bucket_module
from learntoask.review.storage.bucket import BucketStorage
from learntoask.review.storage.factory import open_queue_storage
from learntoask.store.s3.retry import PATIENCE, Patience
from worlds.minio import MinioServer, minio_server
from worlds.review_items import item, open_queue
from worlds.review_machine import Killed, ReviewMachine

ONE = item(1)
FIRST, SECOND = Freeze(answers="a", items=(ONE.digest,)), Freeze(answers="b", items=())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with minio_server(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def server(running: MinioServer, tmp_path: Path) -> MinioServer:
    running.reset(tmp_path.name)
    return running


def storage(server: MinioServer, *, patience: Patience = PATIENCE) -> BucketStorage:
    found = open_queue_storage(server.address(), "clinic", server.environment, patience=patience)
    assert isinstance(found, BucketStorage)
    found.poll_seconds = 0.0
    return found


def event(n: int = 0, reviewer: str = "ann", **fields: object) -> Event:
    return Event.model_validate(
        {
            "item": ONE.digest,
            "reviewer": reviewer,
            "n": n,
            "kind": "answered",
            "time": 1.0,
            "answer": ("yes",),
        }
        | fields
    )


def test_what_one_server_stores_another_one_reads(server):
    one, two = storage(server), storage(server)
    one.add_items([ONE])
    two.add_items([ONE, item(2)])
    assert list(one.changes().items) == [ONE, item(2)]
    assert two.append(event(0, "Zoë Q", id="first")).id == "first"
    assert one.append(event(0, "Zoë Q", id="second")).id == "first"
    assert [found.id for found in one.changes().events] == ["first"]
    two.append(event(1, "Zoë Q"))
    assert [found.n for found in one.events_of(ONE.digest)] == [0, 1]
    assert [found.n for found in one.changes().events] == [1]
    for server_storage, freeze in ((one, FIRST), (two, SECOND), (two, FIRST)):
        server_storage.keep_freeze(freeze)
    assert [*one.freezes()] == [*two.freezes()] == [FIRST, SECOND]


def test_an_event_whose_response_was_lost_is_found_when_the_request_is_sent_again(server):
    queue = open_queue(storage(server))
    queue.add([ONE])
    put = queue._storage._bucket._client._put_object

    def lose(*arguments: object, **more: object) -> object:
        put(*arguments, **more)
        if "/ann/" in str(arguments[1]):
            queue._storage._bucket._client._put_object = put
            raise ConnectionError("the connection was lost")
        return None

    queue._storage._bucket._client._put_object = lose
    assert queue.answer(ONE.digest, "ann", ("yes",), seconds=3.0, id="click-1").next_n == 1
    assert [found.id for found in storage(server).changes().events] == ["click-1"]


def test_two_servers_record_a_request_once_that_a_client_sends_to_both(server):
    servers = [open_queue(storage(server)) for _ in range(2)]
    servers[0].add([ONE])
    servers[1].refresh()
    for number in range(20):
        sending = [
            threading.Thread(
                target=queue.answer,
                args=(ONE.digest, "ann", ("yes", "no")[number % 2 : number % 2 + 1]),
                kwargs={"seconds": 1.0, "id": f"click-{number}"},
            )
            for queue in servers
        ]
        for thread in sending:
            thread.start()
        for thread in sending:
            thread.join(60)
    found = storage(server).changes().events
    assert sorted(each.id for each in found) == sorted(f"click-{n}" for n in range(20))
    assert sorted(each.n for each in found) == list(range(20))


def test_a_store_that_is_away_for_a_while_delays_the_answer_and_does_not_lose_it(server):
    queue = open_queue(storage(server))
    queue.add([ONE])
    server.stop()
    answering = threading.Thread(
        target=queue.answer, args=(ONE.digest, "ann", ("yes",)), kwargs={"seconds": 1.0, "id": "click-1"}
    )
    answering.start()
    time.sleep(2)
    assert answering.is_alive()
    server.start()
    answering.join(60)
    assert not answering.is_alive()
    assert [found.id for found in storage(server).changes().events] == ["click-1"]


def test_a_store_that_stays_away_is_named_and_the_client_may_send_the_answer_again(server):
    queue = open_queue(storage(server, patience=Patience(seconds=0.5)))
    queue.add([ONE])
    server.stop()
    with pytest.raises(StoreError, match="no answer"):
        queue.answer(ONE.digest, "ann", ("yes",), seconds=1.0, id="click-1")
    server.start()
    assert queue.answer(ONE.digest, "ann", ("yes",), seconds=1.0, id="click-1").answer == ("yes",)
    assert [found.id for found in storage(server).changes().events] == ["click-1"]


def test_a_server_that_starts_reads_a_snapshot_and_what_came_after_it(server, monkeypatch):
    monkeypatch.setattr(bucket_module, "_SNAPSHOT_AFTER", 10)
    first = storage(server)
    for n in range(15):
        first.append(event(n))
    first.changes()
    for n in range(15, 18):
        first.append(event(n))
    fresh, read = storage(server), []
    monkeypatch.setattr(
        fresh, "_read_event", lambda key: read.append(key) or BucketStorage._read_event(fresh, key)
    )
    assert [found.n for found in fresh.changes().events] == list(range(18))
    assert [key[-2:] for key in sorted(read)] == ["15", "16", "17"]


def test_changes_list_page_after_page(server, monkeypatch):
    monkeypatch.setattr(bucket_module, "_PAGE", 2)
    one, two = storage(server), storage(server)
    two.changes()
    names = [f"reviewer {n}" for n in range(5)]
    for name in names:
        one.append(event(0, name))
    found = [each.reviewer for _ in range(4) for each in two.changes().events]
    assert sorted(found) == names
    one.append(event(0, "a later one that sorts first"))
    assert any(two.changes().events for _ in range(4))
    one.append(event(1, "reviewer 2"))
    assert [each.n for each in two.changes(complete=True).events] == [1]


def test_a_damaged_event_is_named(server):
    storage(server).append(event(0))
    key = f"{server.team}/reviews/clinic/{ONE.digest}/ann/000000"
    server.bucket().write(key, b"{}")
    with pytest.raises(StoreError, match=r"000000, line 1 is not a Event \(item: is required\)"):
        storage(server).changes()


def test_names_of_queues_are_checked_before_any_request(server):
    for name in ("", "Clinic", "a/b", "../a", "a" * 129):
        with pytest.raises(InputError, match="the queue's name"):
            open_queue_storage(server.address(), name, server.environment)


class KillableBucket(BucketStorage):
    """A bucket whose writer may be killed before and after the next write."""

    kill: str | None = None
    poll_seconds = 0.0

    def append(self, event: Event) -> Event:
        if self.kill in ("within", "after"):
            super().append(event)
        if self.kill:
            raise Killed
        return super().append(event)

    def _replace(self, name, kind, change) -> None:
        if self.kill in ("within", "after"):
            super()._replace(name, kind, change)
        if self.kill:
            raise Killed
        super()._replace(name, kind, change)


def test_two_servers_in_a_bucket_are_killed_at_every_write(server):
    class BucketMachine(ReviewMachine):
        number = 0

        @initialize()
        def start(self) -> None:
            BucketMachine.number += 1
            self.begin()

        def new_storage(self) -> KillableBucket:
            prefix = f"{server.team}/reviews/machine-{BucketMachine.number}/"
            return KillableBucket(server.bucket(), prefix=prefix)

    run_state_machine_as_test(
        BucketMachine, settings=settings(max_examples=8, stateful_step_count=15, deadline=None)
    )
