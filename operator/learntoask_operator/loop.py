"""One asyncio task per object, which reconciles it when it is woken or due.

An event only wakes the task; what there is to do, a reconcile finds out by looking at the objects as they are. Two
reconciles of one object never overlap. Whatever wakes an object during a reconcile leads to another one, so nothing
depends on a particular event.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from learntoask.core.backoff import Backoff
from learntoask.core.json_object import Json
from learntoask.kube import Kind

from learntoask_operator.compression import compress, decompress

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
    """Reconciles the objects of one kind."""

    kind: Kind

    async def reconcile(self, body: Json) -> float | None:
        """Observe, decide, act, and write the status of the object `body`, as it was last observed.

        Return when to reconcile again although nothing has changed (seconds since the epoch), or None. Whatever it
        raises, the loop repeats it after a growing delay.
        """

    def forget(self, ref: Ref) -> None:
        """Drop what is remembered of an object that is gone."""


class Observer(Protocol):
    """Counts reconciles, for metrics."""

    def reconciled(self, ref: Ref, *, waited: float, took: float, failed: bool) -> None: ...


@dataclass(slots=True)
class _Task:
    """The task of one object; `body` is the object, compressed."""

    body: bytes
    version: int
    uid: str
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    woken_at: float = 0.0
    reconciling_since: float | None = None
    task: asyncio.Task[None] | None = None


class Loop:
    """`concurrency` bounds how many objects are reconciled at once. Objects outside of `namespaces` are ignored."""

    def __init__(
        self,
        reconcilers: Iterable[Reconciler] = (),
        *,
        observer: Observer | None = None,
        concurrency: int = 16,
        namespaces: Container[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reconcilers = {reconciler.kind: reconciler for reconciler in reconcilers}
        self._observer, self._clock, self._namespaces = observer, clock, namespaces
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: dict[Ref, _Task] = {}
        self._open = asyncio.Event()

    def add(self, reconciler: Reconciler) -> None:
        """Let it have the objects of its kind."""
        self._reconcilers[reconciler.kind] = reconciler

    def open(self) -> None:
        """Let reconciles begin. Before that, the watches of the children have not listed all objects."""
        self._open.set()

    def observed(self, kind: Kind, body: Json) -> None:
        """Take the object `body` from an event or from the answer to a write; ignore one older than the known one."""
        ref, metadata = ref_of(kind, body), body["metadata"]
        if self._namespaces is not None and ref.namespace not in self._namespaces:
            return
        version, known = int(metadata["resourceVersion"]), self._tasks.get(ref)
        if known is None or (known.uid != metadata["uid"] and version > known.version):
            self._end(ref)
            self._start(ref, _Task(body=_compress(body), version=version, uid=metadata["uid"]))
        elif known.uid == metadata["uid"] and version > known.version:
            known.body, known.version = _compress(body), version
        else:
            return
        self.wake(ref)

    def gone(self, kind: Kind, body: Json) -> None:
        """The object `body` was deleted."""
        ref = ref_of(kind, body)
        known = self._tasks.get(ref)
        if known is not None and known.uid == body["metadata"]["uid"]:
            self._forget(ref)

    def listed(self, kind: Kind, namespace: str | None, bodies: Iterable[Json], *, version: int) -> None:
        """`bodies` are all objects of `kind` that existed at `version`, in `namespace` if one is given: those that are
        known and not among them are gone, even if nobody reported their deletion."""
        present = {body["metadata"]["uid"] for body in bodies}
        for ref, task in list(self._tasks.items()):
            among = ref.kind == kind and namespace in (None, ref.namespace)
            if among and task.version <= version and task.uid not in present:
                self._forget(ref)

    def leave(self, namespace: str) -> None:
        """Reconcile the objects of `namespace` no more."""
        for ref in [ref for ref in self._tasks if ref.namespace == namespace]:
            self._forget(ref)

    def wake(self, ref: Ref) -> None:
        """Reconcile the object soon, because something that concerns it happened; ignore an unknown object."""
        known = self._tasks.get(ref)
        if known is not None and not known.woken.is_set():
            known.woken_at = self._clock()
            known.woken.set()

    @property
    def objects(self) -> int:
        return len(self._tasks)

    def longest_reconcile(self) -> float:
        """Seconds that the slowest of the present reconciles has taken so far."""
        now = self._clock()
        began = [
            task.reconciling_since for task in self._tasks.values() if task.reconciling_since is not None
        ]
        return max((now - since for since in began), default=0.0)

    async def close(self, *, grace: float) -> None:
        """Give reconciles `grace` seconds to end, then cancel them; a reconcile may be cut anywhere."""
        until = self._clock() + grace
        tasks = [known.task for known in self._tasks.values() if known.task]
        for known in self._tasks.values():
            if known.reconciling_since is None and known.task:
                known.task.cancel()
        while self.longest_reconcile() and self._clock() < until:
            await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _start(self, ref: Ref, task: _Task) -> None:
        self._tasks[ref] = task
        task.task = asyncio.create_task(self._reconcile_forever(ref, task), name=str(ref))

    def _forget(self, ref: Ref) -> None:
        self._end(ref)
        self._reconcilers[ref.kind].forget(ref)

    def _end(self, ref: Ref) -> None:
        known = self._tasks.pop(ref, None)
        if known is not None and known.task is not None:
            known.task.cancel()

    async def _reconcile_forever(self, ref: Ref, task: _Task) -> None:
        due, failures = None, 0
        await self._open.wait()
        # A reconcile may find that its own object is gone. This task is then cancelled, which `_wait` may take for the
        # end of its time limit.
        while self._tasks.get(ref) is task:
            await _wait(task.woken, None if due is None else max(0.0, due - self._clock()))
            async with self._slots:
                due, failed = await self._reconcile(ref, task, failures)
            failures = failures + 1 if failed else 0
            if failed:
                await asyncio.sleep(_BACKOFF.delay(failures))
                due = self._clock()

    async def _reconcile(self, ref: Ref, task: _Task, failures: int) -> tuple[float | None, bool]:
        """Reconcile once. Return when it is due again, and whether it failed."""
        began = self._clock()
        woken_at = task.woken_at if task.woken.is_set() else began
        task.woken.clear()
        task.reconciling_since = began
        due, failed = None, False
        try:
            due = await self._reconcilers[ref.kind].reconcile(decompress(task.body))
        except Exception as error:
            failed = True
            level = logging.WARNING if failures < 3 else logging.ERROR
            trace = not hasattr(error, "status")  # an answer of the API server explains itself
            _log.log(level, "reconcile failed: %s", error, extra={"object": str(ref)}, exc_info=trace)
        finally:
            task.reconciling_since = None
        if self._observer:
            took = self._clock() - began
            self._observer.reconciled(ref, waited=began - woken_at, took=took, failed=failed)
        return due, failed


async def _wait(event: asyncio.Event, timeout: float | None) -> None:
    """Wait until `event` is set, at most `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        pass


def _compress(body: Json) -> bytes:
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return compress({**body, "metadata": metadata})
