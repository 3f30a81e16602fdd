"""A policy that torch decodes in this process. No other module of evaluation needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import LabelledSession, Sample
from learntoask.core.stages.contract import ProgressCallback
from learntoask.decoding.sessions import (
    PointAnswers,
    SampledAnswer,
    SamplingParams,
    decide_sessions,
    decode_contexts,
)
from learntoask.evaluation.decisions import Decoding, UngradedDecision, targets
from learntoask.evaluation.policy import Dialogue, PolicyLoader
from learntoask.policy.model import Policy, best_device
from learntoask.policy.precision import resolve_precision
from learntoask.policy.prompt import PromptLimits


def policy_loader(spec: RunSpec, pack: Pack) -> PolicyLoader:
    """Return a function that loads model folders with the limits, prompt and precision of the run's training."""

    def load(folder: Path) -> TorchPolicy:
        policy = Policy.load(
            folder,
            pack,
            limits=PromptLimits.of(spec.train),
            dtype=resolve_precision(spec.train.precision, best_device()),
        )
        return TorchPolicy(policy, max_new_tokens=spec.train.max_new_tokens)

    return load


class TorchPolicy:
    """Implements evaluation.policy.PolicyUnderTest with the decoder that training uses."""

    def __init__(self, policy: Policy, *, max_new_tokens: int) -> None:
        self._policy = policy
        self._max_new_tokens = max_new_tokens

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
        return [
            decision
            for labelled, of_session in zip(sessions, decided, strict=True)
            for sample, target, at_point in zip(labelled.samples, targets(labelled), of_session, strict=True)
            for decision in _decisions(labelled, sample, target, at_point)
        ]

    def reply(self, dialogues: Sequence[Dialogue], *, seed: int) -> list[str]:
        contexts = [
            Context(task=dialogue.task, goal=dialogue.goal, messages=dialogue.messages)
            for dialogue in dialogues
        ]
        answers = decode_contexts(
            self._policy, contexts, temperature=0.0, max_new_tokens=self._max_new_tokens, seed=seed
        )
        return [answer.text for answer in answers]


def _decisions(
    labelled: LabelledSession, sample: Sample, target: tuple[str, ...], decided: PointAnswers
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
            )
