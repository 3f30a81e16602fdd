"""Policies decoded by the trainer's own sampler: the one module here that needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import LabelledSession, Sample
from learntoask.decoding.sessions import (
    PointAnswers,
    SampledAnswer,
    SamplingParams,
    decide_sessions,
    decode_contexts,
)
from learntoask.evaluation.decisions import Answered, Decoding, targets
from learntoask.evaluation.policy import Dialogue, Opener, Told
from learntoask.policy.model import Policy, best_device
from learntoask.policy.precision import resolve_precision
from learntoask.policy.prompt import PromptLimits


def decoder_of(spec: RunSpec, pack: Pack) -> Opener:
    """Opens model folders with the limits, the prompt and the precision that the run trains with."""

    def opened(folder: Path) -> Decoder:
        policy = Policy.load(
            folder,
            pack,
            limits=PromptLimits.of(spec.train),
            dtype=resolve_precision(spec.train.precision, best_device()),
        )
        return Decoder(policy, max_new_tokens=spec.train.max_new_tokens)

    return opened


class Decoder:
    """Implements evaluation.policy.PolicyUnderTest."""

    def __init__(self, policy: Policy, *, max_new_tokens: int) -> None:
        self._policy = policy
        self._max_new_tokens = max_new_tokens

    def decide(
        self, sessions: Sequence[LabelledSession], *, samples: int, temperature: float, seed: int, told: Told
    ) -> list[Answered]:
        decided = decide_sessions(
            self._policy,
            sessions,
            SamplingParams(
                samples=samples, temperature=temperature, max_new_tokens=self._max_new_tokens, seed=seed
            ),
            progress=told,
        )
        return [
            answer
            for labelled, of_session in zip(sessions, decided, strict=True)
            for sample, target, at_point in zip(labelled.samples, targets(labelled), of_session, strict=True)
            for answer in _answers(labelled, sample, target, at_point)
        ]

    def reply(self, dialogues: Sequence[Dialogue], *, seed: int) -> list[str]:
        contexts = [Context(task=one.task, goal=one.goal, messages=one.messages) for one in dialogues]
        completions = decode_contexts(
            self._policy, contexts, temperature=0.0, max_new_tokens=self._max_new_tokens, seed=seed
        )
        return [completion.text for completion in completions]


def _answers(
    labelled: LabelledSession, sample: Sample, target: tuple[str, ...], decided: PointAnswers
) -> Iterator[Answered]:
    decodings: tuple[tuple[Decoding, tuple[SampledAnswer, ...]], ...] = (
        ("greedy", (decided.greedy,)),
        ("sampled", decided.samples),
    )
    for decoding, completions in decodings:
        for index, completion in enumerate(completions):
            yield Answered(
                session=labelled.session.session_id,
                task=labelled.session.task,
                turn=sample.turn,
                truth=sample.decision,
                target=target,
                decoding=decoding,
                completion=index,
                response=completion.text,
                finished=completion.finished,
                tokens=len(completion.tokens),
                stop_logprob=decided.stop_logprob if decoding == "greedy" else None,
            )
