"""Goal 6: exactly the required answers are asked for, and none is lost or doubled, however often the server dies."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from calibration_goals.rows import Row
from learntoask.review.queue import ReviewQueue
from learntoask.review.records import Answer
from learntoask.review.settings import ReviewSettings
from learntoask.review.state import repeated
from learntoask.store.address import StoreAddress
from worlds.minio import minio_server
from worlds.review_items import Truth

from review_goals.clients import Client
from review_goals.options import Options
from review_goals.server import QUEUE, Server

_CLIENTS, _ITEMS, _KILLS = 50, 10_000, 20
_LIMIT_SECONDS = 3600.0


def run(options: Options) -> list[Row]:
    """Return the rows of the goal for each storage."""
    rows: list[Row] = []
    share = 10 if options.quick else 1
    for storage in options.storages:
        with tempfile.TemporaryDirectory() as folder, _server(storage, Path(folder)) as server:
            rows += _measure(server, storage, items=_ITEMS // share, kills=_KILLS // share, seed=options.seed)
    return rows


@contextmanager
def _server(storage: str, folder: Path) -> Iterator[Server]:
    settings = ReviewSettings()
    if storage == "folder":
        server = Server(StoreAddress(uri=str(folder)), settings, {})
        yield server
        server.kill()
        return
    with minio_server(folder / "minio", processors=None) as minio:
        server = Server(minio.address(), settings, minio.environment)
        yield server
        server.kill()


def _measure(server: Server, storage: str, *, items: int, kills: int, seed: int) -> list[Row]:
    truth = Truth(items, known=max(20, items // 100), seed=seed)
    right: dict[str, Answer] = dict(truth.right)
    for one in truth.items:
        digest = one.digest
        right[repeated(one, digest).digest] = truth.right[digest]
    server.storage().add_items(truth.items)
    server.start()
    clients = [
        Client(f"reviewer {n}", server.link(f"reviewer {n}"), right.__getitem__, seed=seed)
        for n in range(_CLIENTS)
    ]
    start = time.monotonic()
    for client in clients:
        client.thread.start()
    needed = ReviewQueue(server.storage(), name=QUEUE, settings=server.settings).status().needed
    killed = _kill_at_random(server, clients, needed=needed, kills=kills, seed=seed)
    _wait(clients, lambda: _missing(server) == 0)
    seconds = time.monotonic() - start
    server.kill()
    return _rows(server, storage, clients, killed=killed, seconds=seconds, items=items)


def _kill_at_random(server: Server, clients: list[Client], *, needed: int, kills: int, seed: int) -> int:
    """Kill the server each time when a random number of answers has been acknowledged; return how often."""
    draw = random.Random(seed)
    moments = sorted(draw.randrange(needed // 50, needed * 19 // 20) for _ in range(kills))
    for moment in moments:
        _wait(clients, lambda moment=moment: sum(len(client.given) for client in clients) >= moment)
        time.sleep(draw.random() * 0.2)
        server.kill()
        server.start()
    return len(moments)


def _wait(clients: list[Client], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not reached():
        for client in clients:
            if client.error is not None:
                raise client.error
        if time.monotonic() > deadline:
            raise TimeoutError("the review does not go on")
        time.sleep(0.05)


def _missing(server: Server) -> int:
    time.sleep(1.0)
    return ReviewQueue(server.storage(), name=QUEUE, settings=server.settings).status().missing


def _rows(
    server: Server, storage: str, clients: list[Client], *, killed: int, seconds: float, items: int
) -> list[Row]:
    for client in clients:
        client.done.set()
    server.start()  # a client may be in the middle of a request
    for client in clients:
        client.thread.join(60)
        if client.error is not None:
            raise client.error
    server.kill()
    queue = ReviewQueue(server.storage(), name=QUEUE, settings=server.settings)
    status, stored = queue.status(), {(a.item, a.reviewer): a.answer for a in queue.freeze().answers}
    given = {(item, client.name): answer for client in clients for item, answer in client.given.items()}
    ids = Counter(event.id for event in server.storage().changes(complete=True).events if event.id)
    acknowledged = {id for client in clients for id in client.acknowledged}
    lost = sum(1 for key, answer in given.items() if stored.get(key) != answer)
    foreign = sum(1 for key in stored if key not in given)
    doubled = sum(1 for count in ids.values() if count > 1)
    latencies = sorted(second for client in clients for second in client.seconds)
    slow = latencies[len(latencies) * 95 // 100] * 1000
    print(
        f"{storage}: {len(ids)} requests recorded, {len(acknowledged - set(ids))} acknowledged without an event of "
        f"their own (the answer stood), {status.between_people.items} items answered twice",
        file=sys.stderr,
    )

    def row(what: str, reached: str, required: str, held: bool | None) -> Row:
        return Row(goal=6, data=storage, what=what, reached=reached, required=required, held=held)

    exact = status.given == status.needed and status.surplus == 0
    return [
        row(
            f"answers of {len(clients)} clients to {items:,} items, {killed} kills",
            f"{status.given:,} given, {status.surplus} surplus",
            f"{status.needed:,} and 0",
            exact,
        ),
        row("acknowledged answers that are not stored", f"{lost} of {len(given):,}", "0", lost == 0),
        row("stored answers that no client gave", f"{foreign} of {len(stored):,}", "0", foreign == 0),
        row("requests that were recorded more than once", f"{doubled} of {len(ids):,}", "0", doubled == 0),
        row("answers a second, kills included", f"{len(given) / seconds:.0f}", "", None),
        row("round trip of an answer, 95 of 100 within", f"{slow:.0f} ms", "", None),
    ]
