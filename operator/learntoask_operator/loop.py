"""One task an object. Events only wake it; what to do, a pass finds out by looking at how things are.

A pass of an object never overlaps another pass of it. Whatever is woken during a pass is looked at by the next one, so
nothing depends on having seen a particular event.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from learntoask.core.backoff import Backoff
from learntoask.core.json_object import Json
from learntoask.kube import Kind

from learntoask_operator.compression import packed, unpacked

_BACKOFF = Backoff(first=1.0, longest=120.0)  # after a reconcile that failed
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ref:
    """An object by name, whether it exists or not."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.plural}/{self.namespace}/{self.name}"


def ref_of(kind: Kind, body: Json) -> Ref:
    metadata = body["metadata"]
    return Ref(kind=kind, namespace=metadata["namespace"], name=metadata["name"])


class Reconciler(Protocol):
    """What is done about objects of one kind."""

    kind: Kind

    async def reconcile(self, seen: Json) -> float | None:
        """One pass over the object as last seen: observe, plan, act, patch its status if it changed.

        Returns when to look again although nothing was heard (seconds since the epoch), or None. May raise anything:
        the pass is then repeated after a growing pause.
        """

    def forget(self, ref: Ref) -> None:
        """The object is gone."""


class Observer(Protocol):
    """Told how the passes go, for metrics."""

    def passed(self, ref: Ref, *, waited: float, took: float, failed: bool) -> None: ...


@dataclass(slots=True)
class _Flight:
    """`body` is compressed: thousands of manifests with all their defaults would fill the memory as dicts."""

    body: bytes
    version: int
    uid: str
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    woken_at: float = 0.0
    passing_since: float | None = None
    task: asyncio.Task[None] | None = None


class Loop:
    """`concurrency` bounds the passes of different objects that are under way at once."""

    def __init__(
        self,
        reconcilers: Iterable[Reconciler] = (),
        *,
        observer: Observer | None = None,
        concurrency: int = 16,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reconcilers = {one.kind: one for one in reconcilers}
        self._observer, self._clock = observer, clock
        self._slots = asyncio.Semaphore(concurrency)
        self._flights: dict[Ref, _Flight] = {}
        self._open = asyncio.Event()

    def add(self, reconciler: Reconciler) -> None:
        """Let it have the objects of its kind."""
        self._reconcilers[reconciler.kind] = reconciler

    def open(self) -> None:
        """Let passes begin: before, the watches of the children have not listed what there is."""
        self._open.set()

    def saw(self, kind: Kind, body: Json) -> None:
        """`body` is how the object is, by an event or by the answer to a write; an older version is passed over."""
        ref, metadata = ref_of(kind, body), body["metadata"]
        version, flight = int(metadata["resourceVersion"]), self._flights.get(ref)
        if flight is None or (flight.uid != metadata["uid"] and version > flight.version):
            self._end(ref)
            flight = self._flights[ref] = _Flight(body=_kept(body), version=version, uid=metadata["uid"])
            flight.task = asyncio.create_task(self._fly(ref, flight), name=str(ref))
        elif flight.uid == metadata["uid"] and version > flight.version:
            flight.body, flight.version = _kept(body), version
        else:
            return
        self.wake(ref)

    def gone(self, kind: Kind, body: Json) -> None:
        """The object with `body` was deleted."""
        ref = ref_of(kind, body)
        flight = self._flights.get(ref)
        if flight is not None and flight.uid == body["metadata"]["uid"]:
            self._end(ref)
            self._reconcilers[kind].forget(ref)

    def wake(self, ref: Ref) -> None:
        """Something that concerns the object happened; unknown objects are passed over."""
        flight = self._flights.get(ref)
        if flight is not None and not flight.woken.is_set():
            flight.woken_at = self._clock()
            flight.woken.set()

    def wake_all(self, kind: Kind) -> None:
        for ref in self._flights:
            if ref.kind == kind:
                self.wake(ref)

    @property
    def objects(self) -> int:
        return len(self._flights)

    def longest_pass(self) -> float:
        """Seconds that the pass which has been under way longest has taken so far."""
        now = self._clock()
        return max(
            (now - f.passing_since for f in self._flights.values() if f.passing_since is not None),
            default=0.0,
        )

    async def close(self, *, grace: float) -> None:
        """Let passes under way end for `grace` seconds, then cancel them; every pass can be cut anywhere."""
        until = self._clock() + grace
        tasks = [flight.task for flight in self._flights.values() if flight.task]
        for flight in self._flights.values():
            if flight.passing_since is None and flight.task:
                flight.task.cancel()
        while self.longest_pass() and self._clock() < until:
            await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flights.clear()

    def _end(self, ref: Ref) -> None:
        flight = self._flights.pop(ref, None)
        if flight is not None and flight.task is not None:
            flight.task.cancel()

    async def _fly(self, ref: Ref, flight: _Flight) -> None:
        reconciler, due, failures = self._reconcilers[ref.kind], None, 0
        await self._open.wait()
        while True:
            await _woken(flight.woken, None if due is None else max(0.0, due - self._clock()))
            async with self._slots:
                began, woken_at = self._clock(), flight.woken_at if flight.woken.is_set() else None
                flight.woken.clear()
                flight.passing_since = began
                try:
                    due, failed = await reconciler.reconcile(unpacked(flight.body)), False
                except Exception as error:
                    failed = True
                    _log.log(
                        logging.WARNING if failures < 3 else logging.ERROR,
                        "pass failed: %s", error, extra={"object": str(ref)}, exc_info=not hasattr(error, "status"),
                    )  # fmt: skip
                finally:
                    flight.passing_since = None
            if self._observer:
                waited = began - (woken_at if woken_at is not None else began)
                self._observer.passed(ref, waited=waited, took=self._clock() - began, failed=failed)
            failures = failures + 1 if failed else 0
            if failed:
                await asyncio.sleep(_BACKOFF.delay(failures))
                due = self._clock()


async def _woken(event: asyncio.Event, timeout: float | None) -> None:
    if timeout is None:
        await event.wait()
        return
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        pass


def _kept(body: Json) -> bytes:
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return packed({**body, "metadata": metadata})
