"""Makes one decision: a bounded queue, the engine under a deadline, and an answer that is always valid."""

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
from learntoask.serving.answer import PolicyAnswer, answer_of
from learntoask.serving.deadlines import Deadlines
from learntoask.serving.engines.protocol import Engine, TokenUsage
from learntoask.serving.metrics import ServingMetrics
from learntoask.serving.policy_lock import PolicyLock

_KNOWN_ANSWERS = 4096


class QueueFull(Overloaded):
    """The server runs and queues as many decisions as it takes."""


class PolicyDecision(NamedTuple):
    """An answer with what led to it. `revision` names the policy that decided."""

    answer: PolicyAnswer
    stop_probability: float  # 0…1
    usage: TokenUsage
    text: str  # as the model generated it
    revision: str


class Decider:
    """Decides with one engine. Construct it inside the event loop that runs it.

    `capacity` bounds running and waiting decisions together; `deadline_seconds` bounds each of them.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        revision: str,
        pack: Pack,
        metrics: ServingMetrics,
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
        # A policy generates the same few hundred texts again and again, and checking one costs as much as the rest of a
        # call.
        self._answer_of = lru_cache(maxsize=_KNOWN_ANSWERS)(
            partial(answer_of, asking=FluencyGuard(pack).asking, fallback=pack.fallback, may_stop=may_stop)
        )

    @property
    def in_flight(self) -> int:
        """The number of decisions that run or wait."""
        return len(self._deadlines)

    async def decide(self, context: Context, *, seconds_left: float | None) -> PolicyDecision:
        """Decide on `context` within the caller's `seconds_left` and the server's own deadline.

        Raises QueueFull, TimeoutError at the deadline, and InputError for a context that the policy cannot read.
        """
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
        self._metrics.count_decision(answer.action, answer.origin, draft.usage)
        # A log-probability summed in float32 can come out slightly above 0.
        stop_probability = math.exp(min(draft.stop_logprob, 0.0))
        return PolicyDecision(answer, stop_probability, draft.usage, draft.text, revision)

    async def reload(self, folder: Path, *, revision: str) -> None:
        """Decide with the weights of `folder` from now on. Running decisions finish first, later ones wait.

        After an exception the engine is unusable and every decision fails.
        """
        async with self._policy_lock.exclusive():
            self._engine = await self._engine.with_weights(folder)
            self.revision = revision

    @property
    def engine(self) -> Engine:
        """The engine that decides now."""
        return self._engine

    def cache_bytes(self) -> int:
        """Return the memory of keys and values that the engine keeps between calls."""
        return self._engine.cache_bytes()

    async def close(self) -> None:
        """Stop the engine at once; running decisions fail."""
        await self._engine.close()
