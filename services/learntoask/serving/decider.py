"""Makes one decision: a bounded queue, the engine under a deadline, and an answer that is always valid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from learntoask.core.assessment import MissingField
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.decoding.next_question import QuestionSearch
from learntoask.grading.cues import NO_CUES, LearnedCues, read_cues
from learntoask.grading.fluency import FluencyGuard
from learntoask.labeling.repeated_questions import RepeatReader
from learntoask.rpc.calls import Overloaded
from learntoask.serving.answer import PolicyAnswer, answer_of
from learntoask.serving.deadlines import Deadlines
from learntoask.serving.engines.protocol import Draft, Engine, TokenUsage
from learntoask.serving.metrics import ServingMetrics
from learntoask.serving.policy_lock import PolicyLock
from learntoask.statistics.binary_calibration import rescale

_KNOWN_ANSWERS = 4096


class QueueFull(Overloaded):
    """The server runs and queues as many decisions as it takes."""


class PolicyDecision(NamedTuple):
    """An answer with what led to it. `revision` names the policy that decided."""

    answer: PolicyAnswer
    stop_probability: float  # 0…1
    usage: TokenUsage
    text: str  # as the model generated it, without its assessment
    revision: str
    missing: tuple[MissingField, ...]


class Decider:
    """Decides with one engine. Construct it inside the event loop that runs it.

    `capacity` bounds running and waiting decisions together; `deadline_seconds` bounds each of them. With
    `avoid_repeats` no question is put twice in a conversation, and none for fields that the user has given; the policy
    then asks its next likely question or stops. `stop_threshold` is the one that the engine decides with, and
    `stop_temperature` calibrates the probability in its answers.
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
        stop_threshold: float | None = None,
        stop_temperature: float = 1.0,
        avoid_repeats: bool = False,
        cues: LearnedCues = NO_CUES,
    ) -> None:
        self.revision = revision
        self._engine = engine
        self._policy_lock = PolicyLock()
        self._metrics = metrics
        self._capacity = capacity
        self._deadlines = Deadlines()
        self._deadline_seconds = deadline_seconds
        self._pack = pack
        self._may_stop = may_stop
        self._stop_threshold = stop_threshold
        self._stop_temperature = stop_temperature
        self._repeats = RepeatReader(pack) if avoid_repeats else None
        self._answer_of = self._answers(cues)

    def _answers(self, cues: LearnedCues) -> Callable[[str], PolicyAnswer]:
        # A policy generates the same few hundred texts again and again, and checking one costs as much as the rest of a
        # call.
        return lru_cache(maxsize=_KNOWN_ANSWERS)(
            partial(
                answer_of,
                asking=FluencyGuard(self._pack, cues).asking,
                fallback=self._pack.fallback,
                may_stop=self._may_stop,
            )
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
                    drafted, revision = await self._engine.decide(context), self.revision
                    answer, draft = self._answer_to(drafted), drafted
                    if self._repeats is not None and answer.question is not None:
                        answer, draft = await self._unrepeated(context, drafted, self._repeats)
        finally:
            self._deadlines.end(wait)
        self._metrics.count_decision(answer.action, answer.origin, draft.usage)
        if draft.malformed:
            self._metrics.malformed_assessments.inc()
        stop_probability = rescale(drafted.stop_logprob, self._stop_temperature)
        missing = draft.missing if answer.action == "ask" else ()
        return PolicyDecision(answer, stop_probability, draft.usage, drafted.text, revision, missing)

    def _answer_to(self, draft: Draft) -> PolicyAnswer:
        answer = self._answer_of(draft.text)
        return replace(answer, origin="repaired") if draft.malformed and answer.origin == "model" else answer

    async def _unrepeated(
        self, context: Context, draft: Draft, reader: RepeatReader
    ) -> tuple[PolicyAnswer, Draft]:
        """Return the answer to `draft`, or the next likely one that repeats no question, and the draft that it is from.

        The returned draft counts the tokens of all.
        """
        read = reader.read(context.task, context.messages)

        def repeats(text: str) -> bool:
            answer = self._answer_of(text)
            if answer.question is None:
                return False
            if search.refused and answer.origin == "fallback":
                return True  # the candidate is no question, so it cannot take the place of one
            return read.repetition(answer.question) is not None

        search = QuestionSearch(
            repeats=repeats,
            stop=self._engine.stop_tokens,
            stop_probability=rescale(draft.stop_logprob, 1.0),
            threshold=self._stop_threshold if self._may_stop else None,
            last_resort=lambda: read.last_resort(may_stop=self._may_stop),
        )
        while (text := search.offer(draft)) is None:
            refused, draft = draft, await self._engine.decide(context, barred=search.barred)
            completion = refused.usage.completion + draft.usage.completion
            draft = replace(draft, usage=replace(refused.usage, completion=completion))
        answer = self._answer_to(replace(draft, text=text))
        if search.refused:
            is_fallback = answer.question == self._pack.fallback
            answer = replace(answer, origin="fallback" if is_fallback else "repaired")
            self._metrics.count_avoided_repeat(answer.action, answer.origin)
        return answer, draft

    async def reload(self, folder: Path, *, revision: str, stop_temperature: float = 1.0) -> None:
        """Decide with the weights of `folder` from now on. Running decisions finish first, later ones wait.

        After an exception the engine is unusable and every decision fails.
        """
        async with self._policy_lock.exclusive():
            self._engine = await self._engine.with_weights(folder)
            self._answer_of = self._answers(read_cues(folder))
            self._stop_temperature = stop_temperature
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
