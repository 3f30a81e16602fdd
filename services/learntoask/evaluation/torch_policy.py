"""A policy that torch decodes in this process. No other module of evaluation needs torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import LabelledSession, Sample
from learntoask.core.stages.contract import ProgressCallback
from learntoask.decoding.next_question import QuestionSearch
from learntoask.decoding.sessions import (
    PointAnswers,
    SampledAnswer,
    SamplingParams,
    decide_contexts,
    decide_sessions,
    new_decoder,
)
from learntoask.evaluation.decisions import Decoding, UngradedDecision, targets
from learntoask.evaluation.policy import Dialogue, PolicyLoader, Reply
from learntoask.evaluation.repeats import repetition_of
from learntoask.labeling.repeated_questions import RepeatReader
from learntoask.policy.model import Policy, best_device
from learntoask.policy.precision import resolve_precision
from learntoask.policy.prompt import PromptLimits, session_contexts
from learntoask.policy.stopping import Stopping

_KEPT_TOKENS = 16_384  # 380 MB of keys and values of a model of 135M parameters in bfloat16
_CONTEXTS_AT_ONCE = 64  # whose tokens fit in there, with the usual four of a session that begin alike


def policy_loader(spec: RunSpec, pack: Pack, stopping: Stopping | None = None) -> PolicyLoader:
    """Return a function that loads model folders with the limits, prompt and precision of the run's training.

    `stopping` is what `stopThreshold: auto` chose, if the run has published it.
    """

    def load(folder: Path) -> TorchPolicy:
        policy = Policy.load(
            folder,
            pack,
            limits=PromptLimits.of(spec.train, stopping),
            dtype=resolve_precision(spec.train.precision, best_device()),
        )
        return TorchPolicy(
            policy,
            max_new_tokens=spec.train.max_new_tokens,
            avoid_repeats=spec.serve.repeat == "avoid",
        )

    return load


class TorchPolicy:
    """Implements evaluation.policy.PolicyUnderTest with the decoder that training uses.

    With `avoid_repeats` the policy asks its next likely question or stops instead of repeating one, as on the server.
    """

    def __init__(self, policy: Policy, *, max_new_tokens: int, avoid_repeats: bool) -> None:
        self._policy = policy
        self._max_new_tokens = max_new_tokens
        self._reader = RepeatReader(policy.pack) if avoid_repeats else None
        # Turns of one replay, and candidates at one decision point, begin alike.
        self._decoder = new_decoder(policy, kept_tokens=_KEPT_TOKENS)

    def decide(
        self,
        sessions: Sequence[LabelledSession],
        *,
        samples: int,
        temperature: float,
        seed: int,
        progress: ProgressCallback,
    ) -> list[UngradedDecision]:
        decided = decide_sessions(
            self._policy,
            sessions,
            SamplingParams(
                samples=samples, temperature=temperature, max_new_tokens=self._max_new_tokens, seed=seed
            ),
            progress=progress,
        )
        contexts = [context for labelled in sessions for context in session_contexts(labelled)]
        points = [at_point for of_session in decided for at_point in of_session]
        served = iter(self._served(contexts, points))
        return [
            decision
            for labelled, of_session in zip(sessions, decided, strict=True)
            for sample, target, at_point in zip(labelled.samples, targets(labelled), of_session, strict=True)
            for decision in _decisions(labelled, sample, target, at_point, served=next(served))
        ]

    def reply(self, dialogues: Sequence[Dialogue]) -> list[Reply]:
        contexts = [
            Context(task=dialogue.task, goal=dialogue.goal, messages=dialogue.messages)
            for dialogue in dialogues
        ]
        points = decide_contexts(
            self._policy, contexts, max_new_tokens=self._max_new_tokens, decoder=self._decoder
        )
        texts = self._served(contexts, points)
        return [Reply(text=text, draft=point.greedy.text) for text, point in zip(texts, points, strict=True)]

    def _served(self, contexts: Sequence[Context], points: Sequence[PointAnswers]) -> list[str]:
        """Return what the server would answer after each context: the greedy answer unless it repeats a question."""
        return [
            text
            for start in range(0, len(contexts), _CONTEXTS_AT_ONCE)
            for text in self._searched(
                contexts[start : start + _CONTEXTS_AT_ONCE], points[start : start + _CONTEXTS_AT_ONCE]
            )
        ]

    def _searched(self, contexts: Sequence[Context], points: Sequence[PointAnswers]) -> list[str]:
        texts: list[str | None] = [point.greedy.text for point in points]
        if self._reader is None:
            return [text or "" for text in texts]
        searches = [
            self._search(self._reader, context, point)
            for context, point in zip(contexts, points, strict=True)
        ]
        offered = {index: point.greedy for index, point in enumerate(points)}
        while offered:
            for index, candidate in offered.items():
                texts[index] = searches[index].offer(candidate)
            open_ones = [index for index in offered if texts[index] is None]
            decoded = decide_contexts(
                self._policy,
                [contexts[index] for index in open_ones],
                max_new_tokens=self._max_new_tokens,
                decoder=self._decoder,
                barred=[searches[index].barred for index in open_ones],
            )
            offered = {index: found.greedy for index, found in zip(open_ones, decoded, strict=True)}
        return [text or "" for text in texts]

    def _search(self, reader: RepeatReader, context: Context, point: PointAnswers) -> QuestionSearch:
        read = reader.read(context.task, context.messages)

        def repeats(text: str) -> bool:
            return repetition_of(read, text) is not None

        may_stop = self._policy.limits.may_stop
        return QuestionSearch(
            repeats=repeats,
            stop=self._policy.stop_tokens,
            stop_probability=math.exp(min(point.stop_logprob, 0.0)),
            threshold=self._policy.stop_threshold,
            last_resort=lambda: read.last_resort(may_stop=may_stop),
        )


def _decisions(
    labelled: LabelledSession,
    sample: Sample,
    target: tuple[str, ...],
    decided: PointAnswers,
    *,
    served: str,
) -> Iterator[UngradedDecision]:
    decodings: tuple[tuple[Decoding, tuple[SampledAnswer, ...]], ...] = (
        ("greedy", (decided.greedy,)),
        ("sampled", decided.samples),
    )
    for decoding, answers in decodings:
        for index, answer in enumerate(answers):
            yield UngradedDecision(
                session=labelled.session.session_id,
                task=labelled.session.task,
                turn=sample.turn,
                truth=sample.decision,
                target=target,
                decoding=decoding,
                completion=index,
                response=answer.text,
                finished=answer.finished,
                tokens=len(answer.tokens),
                stop_logprob=decided.stop_logprob if decoding == "greedy" else None,
                served=served if decoding == "greedy" and served != answer.text else None,
                assessment=answer.assessment,
                malformed=answer.malformed,
            )
