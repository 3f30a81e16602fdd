"""The loop of a run on this machine: observe, plan, act and wait, until the plan says that the run is over.

The planner makes all decisions. This module starts and stops the processes of the stages and remembers how they ended.
One stage runs at a time, because two would only share the cores. A stage that another run of the same home folder
computes is waited for, and then taken from the store.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from learntoask.core.stages.graph import STAGE_BY_NAME, needed_for, pack_digests, rewind_counters
from learntoask.core.stages.planner import Plan, Start, Stop
from learntoask.core.stages.publication import PinnedPublication
from learntoask.local.reviews import LocalReviews
from learntoask.local.stage_lock import StageLock
from learntoask.local.view import plan_of
from learntoask.rpc.tracing import tracing
from learntoask.runner.child import StageChild, crash
from learntoask.runner.inputs import Sources
from learntoask.runner.request import StageRequest
from learntoask.runner.run_folder import Attempt, RunFolder, RunState
from learntoask.runner.stage_trace import SERVICE, StageTrace, TracedAttempt
from learntoask.store.factory import open_store
from learntoask.store.protocol import Publications

_LOOK_AGAIN = 1.0  # seconds between two looks at what others compute or answer
_LOG_TAIL = 400  # characters of a crashed stage's log that its failure message quotes


class Display(Protocol):
    """Receiver of the events of a run."""

    def planned(self, plan: Plan) -> None: ...

    def waiting(self, stage: str) -> None: ...

    def started(self, stage: str, attempt: int) -> None: ...

    def progressed(self, stage: str, progress: dict[str, Any]) -> None: ...

    def stopped(self, stage: str) -> None: ...

    def ended(
        self, stage: str, *, failure: str | None, took: float, warnings: Sequence[str] = ()
    ) -> None: ...


@dataclass
class _Running:
    stage: str
    child: StageChild
    trace: StageTrace
    log: Path
    log_start: int  # bytes that earlier attempts have written to the log
    lock: StageLock


class Executor:
    """Runs the stages of one manifest. The caller holds the lock of `folder`."""

    def __init__(self, *, sources: Sources, folder: RunFolder, home: Path, display: Display) -> None:
        self._sources, self._folder = sources, folder
        self._home, self._display = home, display
        self._digests = sources.digests()
        store = open_store(sources.store)
        self._published = Publications(store)
        self._reviews = LocalReviews(sources, folder, store)
        self._state = folder.read() or RunState(manifest=str(sources.path))
        self._running: _Running | None = None
        self._awaited: set[str] = set()  # stages that another run computes

    def run(
        self,
        *,
        rewind_to: str | None = None,
        until: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> Plan:
        """Run until the plan's outcome is no longer `Running`, or stage `until` is published, and return that plan.

        With `until`, only that stage and what it needs are computed.

        Earlier failures do not count any more. An exception, such as those of Ctrl-C and SIGTERM, first stops the
        running stage.
        """
        reruns = self._rewound(rewind_to) if rewind_to else self._state.reruns
        needed = needed_for(until, calibrated=self._sources.spec.calibrate is not None) if until else None
        kept = {name: attempt for name, attempt in self._state.stages.items() if attempt.state == "published"}
        self._remember(RunState(manifest=str(self._sources.path), reruns=reruns, stages=kept))
        with tracing(SERVICE):
            try:
                while True:
                    current = self.plan(now())
                    self._display.planned(current if needed is None else _part(current, needed))
                    self._awaited.intersection_update(action.stage for action in current.actions)
                    for action in current.actions:
                        if needed is None or action.stage in needed:
                            self._act(action, now())
                    over = current.outcome != "Running" or (until is not None and _published(current, until))
                    if over and self._running is None:
                        return current
                    self._wait(until=current.wake_at, now=now)
            finally:
                if self._running:
                    self._stop()

    def _rewound(self, stage: str) -> dict[str, int]:
        calibrated = self._sources.spec.calibrate is not None
        return rewind_counters(self._state.reruns, stage, calibrated=calibrated)

    def plan(self, now: float) -> Plan:
        return plan_of(
            self._sources,
            self._state,
            self._published,
            self._reviews,
            digests=self._digests,
            now=now,
            publish=True,
        )

    def _act(self, action: Start | Stop, now: float) -> None:
        if isinstance(action, Stop):
            if self._running is None or self._running.stage != action.stage:
                return
            if action.failed:
                self._running.child.end()
                failure = {"reason": action.reason, "message": action.message, "retryable": True}
                self._finish({"failure": failure}, now)
            else:
                self._stop()
        elif self._running is None:
            self._start(action, now)

    def _start(self, start: Start, now: float) -> None:
        """Start the stage, unless another run computes it or has just published it."""
        lock = StageLock.acquire(self._home, key=start.key, store=self._sources.store.uri)
        if lock is None:
            if start.stage not in self._awaited:
                self._display.waiting(start.stage)
                self._awaited.add(start.stage)
            return
        if start.key in self._published:
            lock.release()
            return
        try:
            self._start_locked(start, lock, now)
        except BaseException:
            lock.release()
            raise

    def _start_locked(self, start: Start, lock: StageLock, now: float) -> None:
        log = self._folder.log(start.stage, start.attempt)
        log.parent.mkdir(parents=True, exist_ok=True)
        roles = STAGE_BY_NAME[start.stage].files
        request = StageRequest(
            home=self._home,
            run=self._folder.name,
            store=self._sources.store,
            stage=start.stage,
            key=start.key,
            spec=self._sources.spec,
            pack=self._sources.pack,
            inputs={
                name: PinnedPublication(key=key, output=self._published[key].output)
                for name, key in start.inputs.items()
            },
            files={
                role: (self._sources.files[role], self._digests[role])
                for role in roles
                if role in self._digests
            },
        )
        trace = StageTrace(
            TracedAttempt(
                run=request.run,
                stage=start.stage,
                key=start.key,
                attempt=start.attempt,
                pack=pack_digests(request.pack)["whole"],
                inputs=request.inputs,
                files={role: digest for role, (_, digest) in request.files.items()},
            )
        )
        with log.open("ab") as out:
            log_start = out.tell()
            child = StageChild.start(
                request,
                at=self._folder.path / "request.json",
                output=out,
                environment={**os.environ, **trace.variables},
            )
        self._running = _Running(
            stage=start.stage, child=child, trace=trace, log=log, log_start=log_start, lock=lock
        )
        attempt = Attempt(key=start.key, state="running", attempt=start.attempt, started=now)
        self._remember_stage(start.stage, attempt)
        self._display.started(start.stage, start.attempt)

    def _wait(self, *, until: float | None, now: Callable[[], float]) -> None:
        """Wait until the stage ends or `until` passes, and show its progress."""
        if self._running is None:
            patience = _LOOK_AGAIN if self._awaited or self._reviews.by_key else 0.05
            time.sleep(max(0.0, min(until - now(), patience)) if until else patience)
            return
        running = self._running
        with selectors.DefaultSelector() as selector:
            selector.register(running.child, selectors.EVENT_READ)
            while until is None or now() < until:
                patience = 1.0 if until is None else min(1.0, max(0.0, until - now()))
                if not selector.select(patience):
                    continue
                reports = running.child.read_progress()
                if reports is None:
                    code = running.child.wait()
                    self._finish(running.child.final or _crash(running, code), now())
                    return
                for progress in reports:
                    self._display.progressed(running.stage, progress)

    def _finish(self, final: dict[str, Any], now: float) -> None:
        """Remember how the running attempt ended: with a `result` or a `failure`."""
        running, self._running = self._running, None
        assert running is not None
        running.trace.end(final)
        running.lock.release()
        attempt, failure = self._state.stages[running.stage], final.get("failure")
        state = "failed" if failure else "published"
        attempt = attempt.model_copy(update={"state": state, "finished": now, **(failure or {})})
        self._remember_stage(running.stage, attempt)
        message = failure["message"] if failure else None
        summary = final.get("result", {}).get("summary", {})
        self._display.ended(
            running.stage,
            failure=message,
            took=now - attempt.started,
            warnings=summary.get("warnings", ()),
        )

    def _stop(self) -> None:
        """End the running stage on purpose, which does not count as an attempt."""
        running, self._running = self._running, None
        assert running is not None
        running.child.end()
        running.trace.stop("stopped on purpose")
        running.lock.release()
        self._remember(self._state.without_running())
        self._display.stopped(running.stage)

    def _remember_stage(self, stage: str, attempt: Attempt) -> None:
        self._remember(self._state.model_copy(update={"stages": {**self._state.stages, stage: attempt}}))

    def _remember(self, state: RunState) -> None:
        self._state = state
        self._folder.write(state)


def _part(plan: Plan, stages: Container[str]) -> Plan:
    """Return the plan without the other stages, which a run `until` a stage does not compute."""
    return replace(plan, stages=tuple(status for status in plan.stages if status.name in stages))


def _published(plan: Plan, stage: str) -> bool:
    return any(status.name == stage and status.state == "Published" for status in plan.stages)


def _crash(running: _Running, code: int) -> dict[str, Any]:
    output = running.log.read_bytes()[running.log_start :].decode(errors="replace")
    return crash(code, tail=output[-_LOG_TAIL:].strip(), log=str(running.log))
