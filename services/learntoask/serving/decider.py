"""One decision from context to answer: a place in the bounded queue, the engine under a deadline, a valid answer."""

from __future__ import annotations

import asyncio
import math
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.grading.fluency import FluencyGuard
from learntoask.rpc.calls import Overloaded
from learntoask.serving.answer import Answer, answer_of
from learntoask.serving.deadlines import Deadlines
from learntoask.serving.engines.protocol import Engine, Usage
from learntoask.serving.metrics import Metrics
from learntoask.serving.policy_lock import PolicyLock

_KNOWN_ANSWERS = 4096


class QueueFull(Overloaded):
    """As many decisions run and wait as the server takes."""


class Decided(NamedTuple):
    answer: Answer
    stop_probability: float  # 0…1
    usage: Usage
    said: str  # the model's own words, for the log
    revision: str  # of the policy that decided


class Decider:
    """Holds what every decision needs. `capacity` counts running and waiting decisions together. Make it inside the
    event loop that serves it."""

    def __init__(
        self,
        engine: Engine,
        *,
        revision: str,
        pack: Pack,
        metrics: Metrics,
        capacity: int,
        deadline_seconds: float,
        may_stop: bool = True,
    ) -> None:
        self.revision = revision
        self._engine = engine
        self._policy_lock = PolicyLock()
        self._metrics = metrics
        self._capacity = capacity
        self._deadlines = Deadlines()
        self._deadline_seconds = deadline_seconds
        # A policy says the same few hundred things over and over, and judging one costs as much as the rest of a call.
        self._answer_of = lru_cache(maxsize=_KNOWN_ANSWERS)(
            partial(answer_of, asking=FluencyGuard(pack).asking, fallback=pack.fallback, may_stop=may_stop)
        )

    @property
    def in_flight(self) -> int:
        return len(self._deadlines)

    async def decide(self, context: Context, *, seconds_left: float | None) -> Decided:
        """`seconds_left` is the caller's own deadline. Raises QueueFull, TimeoutError, InputError."""
        if self.in_flight >= self._capacity:
            raise QueueFull(f"{self.in_flight} decisions run or wait, the server takes {self._capacity}")
        deadline = (
            self._deadline_seconds if seconds_left is None else min(seconds_left, self._deadline_seconds)
        )
        try:
            async with asyncio.timeout(None) as wait:
                self._deadlines.begin(wait, seconds=deadline)
                async with self._policy_lock:
                    draft, revision = await self._engine.decide(context), self.revision
        finally:
            self._deadlines.end(wait)
        answer = self._answer_of(draft.text)
        self._metrics.decided(answer.action, answer.origin, draft.usage)
        # A log-probability summed in float32 may come out a hair above 0.
        return Decided(answer, math.exp(min(draft.stop_logprob, 0.0)), draft.usage, draft.text, revision)

    async def reload(self, folder: Path, *, revision: str) -> None:
        """Decide with the weights of `folder` from now on; no decision is lost. After an exception none can be made."""
        async with self._policy_lock.exclusive():
            self._engine = await self._engine.reloaded(folder)
            self.revision = revision

    @property
    def engine(self) -> Engine:
        return self._engine

    def cache_bytes(self) -> int:
        return self._engine.cache_bytes()

    async def close(self) -> None:
        """Stop the engine at once; decisions that still run fail."""
        await self._engine.close()
