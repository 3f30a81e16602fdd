"""Copies requests to the canary in the background. Users never wait for a copy, and never see its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from random import random
from typing import Protocol

from pydantic import JsonValue

from learntoask.core.records import STOP
from learntoask.rpc.calls import UpstreamError
from learntoask.serving.gateway.client import BackendClient, Unanswered
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.ledger import Ledger, Leg, is_repaired, messages_of
from learntoask.serving.rollout.pairs import Pair, PolicyAnswer
from learntoask.wire import ask_pb2 as wire

_WAITING = 64  # copies that wait; further ones are dropped
_AT_ONCE = 4  # copies that the canary answers at once


class PairRecords(Protocol):
    """Records of answers of both policies to one conversation."""

    def pair(self, conversation: str, pair: Mapping[str, JsonValue], /) -> None: ...


class Shadow:
    """Asks the canary the same as the control was asked. `start` it inside the event loop, then `close` it."""

    def __init__(
        self,
        canary: BackendClient,
        ledger: Ledger,
        events: EventReader,
        *,
        records: PairRecords | None,
        seconds: float,
    ) -> None:
        """A copy is given up after `seconds`. Pairs of answers that differ go to `records`."""
        self._canary, self._ledger, self._events = canary, ledger, events
        self._records, self._seconds = records, seconds
        self._queue: asyncio.Queue[tuple[Leg, wire.DecideRequest, wire.Decision]] = asyncio.Queue(_WAITING)
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send copies."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(_AT_ONCE)]

    async def close(self) -> None:
        """Drop the copies that wait."""
        for worker in self._workers:
            worker.cancel()
        for worker in self._workers:
            with suppress(asyncio.CancelledError):
                await worker
        self._workers = []

    def offer(self, leg: Leg, asked: wire.DecideRequest, decision: wire.Decision) -> None:
        """Copy a request that was answered, if the conversation is one of those that are copied."""
        if not self._ledger.is_copied(leg) or decision.origin == wire.ORIGIN_NO_SERVER:
            return
        if self._queue.full():
            self._ledger.counts.dropped += 1
            return
        copy = wire.DecideRequest()
        copy.CopyFrom(asked)  # a stream goes on with its own
        copy.ClearField("assignment")
        self._queue.put_nowait((leg, copy, decision))

    async def _work(self) -> None:
        while True:
            leg, asked, decision = await self._queue.get()
            rollout = self._ledger.traffic.rollout
            try:
                answer = await self._canary.decide(
                    asked,
                    conversation=leg.name,
                    request_id=f"{decision.request_id}-{int(random() * 1e6):06d}",
                    seconds=self._seconds,
                )
            except (Unanswered, UpstreamError):
                self._ledger.called(failed=True, seconds=0.0)
                continue
            if rollout == self._ledger.traffic.rollout:
                self._ledger.called(failed=answer.failures > 0, seconds=answer.seconds)
                self._compare(leg, asked, decision, answer.decision)

    def _compare(
        self, leg: Leg, asked: wire.DecideRequest, control: wire.Decision, canary: wire.Decision
    ) -> None:
        """Count which answer has more faults, and record both if they differ."""
        extra = self._faults(asked, canary) - self._faults(asked, control)
        self._ledger.copied(leg, extra)
        texts = _text(control), _text(canary)
        if self._records is not None and (extra or texts[0] != texts[1]):
            pair = Pair(
                rollout=self._ledger.traffic.rollout,
                conversation=leg.name,
                task=asked.task,
                messages=tuple(messages_of(asked.messages)),
                control=PolicyAnswer(answer=texts[0], policy_revision=control.policy_revision),
                canary=PolicyAnswer(answer=texts[1], policy_revision=canary.policy_revision),
                extra_faults=extra,
            )
            self._records.pair(leg.name, pair.model_dump(mode="json"))

    def _faults(self, asked: wire.DecideRequest, decision: wire.Decision) -> int:
        """Return the number of faults of an answer: those that its words show, and a repair."""
        messages = messages_of(asked.messages, answer=_text(decision))
        return self._events.faults(asked.task, messages) + is_repaired(decision)


def _text(decision: wire.Decision) -> str:
    return str(decision.ask.question) if decision.HasField("ask") else STOP
