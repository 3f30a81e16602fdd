"""Moves a gateway's traffic: as a file says that somebody else writes, or by its own decisions without an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from learntoask.core.digest import digest_of
from learntoask.core.documents.input_checks import parse_document
from learntoask.core.documents.text_file import read_document
from learntoask.core.errors import InputError
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.rollout import RolloutCounts, RolloutFile, RolloutStatus
from learntoask.rollout.decide import begin, decide, is_over
from learntoask.rpc.files import Versions, file_versions
from learntoask.rpc.logs import LOGGER
from learntoask.serving.gateway.client import BackendClient, Unanswered
from learntoask.serving.rollout.file import orders_path, read_orders, read_rollout, write
from learntoask.serving.rollout.ledger import Ledger
from learntoask.serving.rollout.traffic import Traffic, traffic_of
from learntoask.wire import gateway_pb2

_LOOK_SECONDS = 1.0
_REVISIONS_SECONDS = 10.0  # between two questions to the servers for their policies
_INFO_SECONDS = 5.0


class Controller(Protocol):
    """Keeps the ledger's traffic current; `look` is called every second."""

    async def look(self) -> None: ...


class Follower:
    """Takes the traffic from a file, such as one of a mounted ConfigMap, and from an operator that is faster.

    A ConfigMap is mounted again a minute later, so an older state than the one in force is passed over, and its end
    means something only for the rollout that it held.
    """

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self._ledger, self._path = ledger, path
        self._version: Versions | None = None
        self._state: RolloutStatus | None = None  # the last one in force
        self._in_file = ""  # identifier of the rollout in the file
        self._counts: tuple[RolloutCounts, str] | None = None  # the last ones, and as JSON

    async def look(self) -> None:
        """Read the file if it has changed. An unreadable one changes nothing."""
        found = file_versions((self._path,))
        if found == self._version:
            return
        try:
            rollout = read_rollout(self._path)
        except InputError as error:
            LOGGER.error("rollout cannot be read", extra={"fields": {"error": str(error)}})
            return
        self._version = found
        before, self._in_file = self._in_file, rollout.state.id if rollout and rollout.state else ""
        if rollout is not None and rollout.state is not None:
            self._take(rollout.strategy, rollout.state)
        elif before and before == self._ledger.traffic.rollout:
            self._ledger.set_traffic(Traffic())

    def take(self, rollout: str) -> None:
        """Take what the operator tells: a rollout as in the file, or nothing if there is none."""
        if not rollout:
            self._ledger.set_traffic(Traffic())
            return
        try:
            told = RolloutFile.model_validate_json(rollout)
            if told.state is not None:
                self._take(told.strategy, told.state)
        except ValidationError as error:
            LOGGER.error("rollout not understood", extra={"fields": {"error": str(error)}})

    def view(self) -> gateway_pb2.RolloutView | None:
        """Return what was counted since this gateway started; None outside rollouts."""
        id = self._ledger.traffic.rollout
        if not id:
            return None
        counts = self._ledger.total()
        if self._counts is None or self._counts[0] != counts:
            self._counts = counts, counts.model_dump_json(by_alias=True, exclude_defaults=True)
        return gateway_pb2.RolloutView(id=id, start=self._ledger.gateway, counts=self._counts[1])

    def _take(self, strategy: Strategy, state: RolloutStatus) -> None:
        if self._state is None or _age(state) >= _age(self._state):
            self._state = state
            self._ledger.set_traffic(traffic_of(strategy, state))


def _age(state: RolloutStatus) -> tuple[str, str, int]:
    """Return what grows with every change of the traffic."""
    return state.started, state.ended or state.step_started, state.step


class Decider:
    """Decides the rollout from this gateway's own counts, and keeps it in a file at `state_path`.

    A rollout is known by the revisions of both policies: another policy at the canary begins another one.
    """

    def __init__(
        self,
        ledger: Ledger,
        control: BackendClient,
        canary: BackendClient,
        *,
        strategy_path: Path,
        state_path: Path,
        clock: Callable[[], float],
    ) -> None:
        """Raises InputError for a strategy or state that cannot be read."""
        self._ledger, self._control, self._canary = ledger, control, canary
        self._strategy_path, self._state_path, self._clock = strategy_path, state_path, clock
        self._strategy = read_strategy(strategy_path)
        self._strategy_version = file_versions((strategy_path,))
        found = read_rollout(state_path)
        self._state = found.state if found else None
        self._before = self._state.counts if self._state else RolloutCounts()  # counted before this start
        self._known: tuple[str, str] | None = None
        self._ask_again = 0.0
        self._set_traffic()

    async def look(self) -> None:
        """Decide once more, and write what has changed."""
        self._read_strategy()
        now = self._clock()
        if now >= self._ask_again:
            self._ask_again = now + (_REVISIONS_SECONDS if await self._ask_revisions() else _LOOK_SECONDS)
        if self._state is None or self._known is None:
            return
        orders = read_orders(self._state_path)
        state = decide(
            self._strategy,
            self._state,
            self._before.plus(self._ledger.total()),
            now=now,
            paused=orders.paused,
            order=orders.order if orders.id == self._state.id else None,
            judged=orders.judged,
        )
        if state != self._state:
            self._take(state)
            await asyncio.to_thread(
                write, self._state_path, RolloutFile(strategy=self._strategy, state=self._state)
            )

    def _take(self, state: RolloutStatus) -> None:
        before, self._state = self._state, state
        if before is None or (before.stage, before.weight) != (state.stage, state.weight):
            fields = {
                "id": state.id,
                "stage": state.stage,
                "weight": state.weight,
                "verdict": state.verdict,
                "reason": state.reason,
                "why": state.message,
            }
            log = LOGGER.warning if state.stage == "RolledBack" else LOGGER.info
            log("rollout", extra={"fields": fields})
        self._set_traffic()

    def _set_traffic(self) -> None:
        self._ledger.set_traffic(
            Traffic() if self._state is None else traffic_of(self._strategy, self._state)
        )

    async def _ask_revisions(self) -> bool:
        """Ask both servers which policy they have, and begin a rollout if there is a new pair of policies."""
        try:
            stable = (await self._control.info(request_id="rollout", seconds=_INFO_SECONDS)).policy_revision
            canary = (await self._canary.info(request_id="rollout", seconds=_INFO_SECONDS)).policy_revision
        except Unanswered:
            return False
        if (stable, canary) == self._known:
            return True
        self._known = stable, canary
        id = digest_of([stable, canary])[:16]
        if stable == canary:
            LOGGER.info("rollout", extra={"fields": {"why": "both servers have the same policy"}})
            if self._state is None or not is_over(self._state):
                self._state = None
                self._set_traffic()
        elif self._state is None or self._state.id != id:
            self._before = RolloutCounts()
            # Orders were for the rollout before, which may have had this one's id: the same pair of policies.
            orders_path(self._state_path).unlink(missing_ok=True)
            self._take(
                begin(self._strategy, id=id, stable=stable[:80], canary=canary[:80], now=self._clock())
            )
        return True

    def _read_strategy(self) -> None:
        found = file_versions((self._strategy_path,))
        if found == self._strategy_version:
            return
        self._strategy_version = found
        try:
            self._strategy = read_strategy(self._strategy_path)
        except InputError as error:
            LOGGER.error("strategy kept", extra={"fields": {"error": str(error)}})
        else:
            self._set_traffic()


def read_strategy(path: Path) -> Strategy:
    """Read a strategy from a YAML file. Raises InputError with the wrong field, or if it tries nothing."""
    strategy = parse_document(read_document(path, what="strategy"), Strategy, where=str(path))
    if strategy.mode == "replace":
        raise InputError(f"{path}: mode: replace tries nothing; give shadow, canary or ab")
    return strategy


class RolloutLoop:
    """Looks every second: conversations become old enough to be observed, and the controller decides."""

    def __init__(self, ledger: Ledger, controller: Controller | None) -> None:
        self._ledger, self._controller = ledger, controller
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, then again and again in the background."""
        await self._look()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Observe the conversations as they are, and decide a last time."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._ledger.close()
        await self._look()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        while self._ledger.mature():
            await asyncio.sleep(
                0
            )  # reading a conversation takes a millisecond, and calls must not wait for all
        if self._controller is None:
            return
        try:
            await self._controller.look()
        except (InputError, OSError) as error:  # the next look tries again; traffic stays as it is
            LOGGER.error("rollout could not go on", extra={"fields": {"error": str(error)}})
