"""Decode the answers of a policy at every decision point of many sessions, on trees (docs/method.md).

A session's trunk is prefilled once, the key/value cache branches where each context ends, and all branches of several
sessions are decoded as one batch. Within float tolerance, the results equal those of decoding each context alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from learntoask.core.errors import StageError
from learntoask.core.prompt import Context
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import ProgressCallback
from learntoask.decoding.attention import branching_attention
from learntoask.decoding.branch import Branch, Trunk, decision_branches, uniforms
from learntoask.decoding.decoder import Decoder
from learntoask.policy.model import Policy
from learntoask.policy.prompt import group_by_prefix, session_contexts

MAX_ROWS = {"cpu": 160, "cuda": 512}
"""Branches decoded together, by device. On a CPU a step of up to 32 rows costs about as much as reading the weights;
beyond 128 rows arithmetic dominates and larger batches gain nothing. A GPU is bound by kernel launches, so there a
whole batch of GRPO is decoded at once."""
MAX_TRUNK_TOKENS = {"cpu": 8192, "cuda": 16384}
"""Trunk tokens whose keys and values are held at a time, by device (8,192 tokens of a model of 135M parameters take
375 MB in float32)."""


@dataclass(frozen=True)
class SampledAnswer:
    """One decoded answer.

    `tokens` include the end-of-turn token if `finished`; otherwise the answer was cut at the token limit. `logprobs`
    has one value a token, of the distribution from which it was drawn: log-softmax of logits / temperature if sampled,
    of the logits themselves if greedy. `text` has no end of turn and no tag; `assessment` and `malformed` are those of
    `core.assessment.AssessedAnswer`.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finished: bool
    assessment: tuple[str, ...] | None = None
    malformed: bool = False


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How to decode at a decision point: `samples` answers of at most `max_new_tokens`; `temperature` 0 is greedy."""

    samples: int = 1
    temperature: float
    max_new_tokens: int
    seed: int = 0


class SessionSampler(Protocol):
    """A function that samples answers at the decision points of many sessions: `decode_sessions`, or another engine."""

    def __call__(
        self, policy: Policy, sessions: Sequence[LabelledSession], params: SamplingParams
    ) -> list[list[list[SampledAnswer]]]:
        """Return the answers as [session][index in `LabelledSession.samples`][sample]."""


@dataclass(frozen=True)
class PointAnswers:
    """The answers of the policy at one decision point.

    `stop_logprob` is the log-probability, at temperature 1, of answering with exactly the stop string.
    """

    greedy: SampledAnswer
    samples: tuple[SampledAnswer, ...]
    stop_logprob: float


def decode_sessions(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    params: SamplingParams,
    *,
    progress: ProgressCallback | None = None,
) -> list[list[list[SampledAnswer]]]:
    """Return answers for every decision point as [session][index in `LabelledSession.samples`][sample].

    A sampled answer follows from (seed, session id, turn, index of the sample) and not from what else is decoded in the
    batch, within float tolerance. `progress` is called with (branches done, all branches).
    """

    def branches(session: LabelledSession, turn: int, attach: int) -> list[Branch]:
        if params.temperature == 0:
            return _greedy(policy, attach, params.max_new_tokens)
        return _sampled(session, turn, attach, params)

    decoded = _decode_sessions(policy, sessions, branches, progress)
    if params.temperature == 0:
        decoded = [[[turn[0].outcome] * params.samples for turn in session] for session in decoded]
    return [
        [[_answer(policy, branch, labelled.session.task) for branch in turn] for turn in session]
        for labelled, session in zip(sessions, decoded, strict=True)
    ]


def decide_sessions(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    params: SamplingParams,
    *,
    progress: ProgressCallback | None = None,
) -> list[list[PointAnswers]]:
    """Return the greedy answer, samples and the stop's probability at every decision point.

    The result is [session][index in `LabelledSession.samples`]. Evaluation uses it to prefill every session only once.
    """

    def branches(session: LabelledSession, turn: int, attach: int) -> list[Branch]:
        return [
            *_decision(policy, attach, params.max_new_tokens),
            *_sampled(session, turn, attach, params),
        ]

    return [
        [
            PointAnswers(
                _answer(policy, greedy.outcome, labelled.session.task),
                tuple(_answer(policy, b, labelled.session.task) for b in rest),
                sum(stop.logprobs),
            )
            for greedy, stop, *rest in session
        ]
        for labelled, session in zip(
            sessions, _decode_sessions(policy, sessions, branches, progress), strict=True
        )
    ]


def decide_contexts(
    policy: Policy,
    contexts: Sequence[Context],
    *,
    max_new_tokens: int,
    barred: Sequence[tuple[tuple[int, ...], ...]] | None = None,
    decoder: Decoder | None = None,
) -> list[PointAnswers]:
    """Return the greedy answer and the stop's probability after each context, for conversations that are not logged.

    `barred` has the token sequences with which the answer to each context must not begin (`decoding.next_question`).
    `decoder` is one that has kept what earlier calls computed, None for a new one.
    """
    prompts = [policy.context_tokens(context) for context in contexts]
    branches = [
        list(_decision(policy, len(prompt), max_new_tokens, barred=beginnings))
        for prompt, beginnings in zip(prompts, barred or [()] * len(prompts), strict=True)
    ]
    _decode(decoder or new_decoder(policy), _trunks(prompts, branches), None)
    return [
        PointAnswers(_answer(policy, question.outcome, context.task), (), sum(stop.logprobs))
        for context, (question, stop) in zip(contexts, branches, strict=True)
    ]


def _decode_sessions(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    branches_of: Callable[[LabelledSession, int, int], list[Branch]],
    progress: ProgressCallback | None,
) -> list[list[list[Branch]]]:
    trunks: list[Trunk] = []
    results = []
    for session in sessions:
        prompts = [policy.context_tokens(context) for context in session_contexts(session)]
        branches = [
            branches_of(session, sample.turn, len(prompt))
            for sample, prompt in zip(session.samples, prompts, strict=True)
        ]
        trunks += _trunks(prompts, branches)
        results.append(branches)
    _decode(new_decoder(policy), trunks, progress)
    return results


def _trunks(prompts: Sequence[tuple[int, ...]], branches: Sequence[list[Branch]]) -> list[Trunk]:
    """The fewest trunks that hold every prompt as a prefix, each with the branches of its prompts."""
    points = [point for point in zip(prompts, branches, strict=True) if point[1]]
    points.sort(key=lambda point: -len(point[0]))
    return [
        Trunk(
            np.asarray(points[group[0]][0], dtype=np.int64),
            [branch for index in group for branch in points[index][1]],
        )
        for group in group_by_prefix([prompt for prompt, _ in points])
    ]


def new_decoder(policy: Policy, *, kept_tokens: int = 0) -> Decoder:
    """Return a decoder of the policy, which keeps keys and values of `kept_tokens` tokens for later calls."""
    return Decoder(policy.model, ends=policy.ends, kept_tokens=kept_tokens)


def _decode(decoder: Decoder, trunks: Sequence[Trunk], progress: ProgressCallback | None) -> None:
    """Decode every branch of `trunks`. A trunk is admitted as soon as the batch has room for it."""
    waiting = deque(trunks)
    done, total = 0, sum(len(trunk.branches) for trunk in trunks)
    with branching_attention(decoder.model):
        while waiting or decoder.rows:
            admitted = _next_trunks(waiting, decoder, decoder.model.device.type)
            finished = decoder.admit(admitted) if admitted else []
            finished += decoder.step()
            done += len(finished)
            if progress and finished:
                progress(done, total)


def _next_trunks(waiting: deque[Trunk], decoder: Decoder, device: str) -> list[Trunk]:
    """Remove from `waiting` the trunks that the batch has room for, at least one if the batch is empty."""
    rows, tokens = decoder.rows, decoder.trunk_tokens
    taken: list[Trunk] = []
    while waiting:
        rows += len(waiting[0].branches)
        tokens += len(waiting[0].tokens)
        if (taken or decoder.rows) and (rows > MAX_ROWS[device] or tokens > MAX_TRUNK_TOKENS[device]):
            break
        taken.append(waiting.popleft())
    return taken


def _sampled(session: LabelledSession, turn: int, attach: int, params: SamplingParams) -> list[Branch]:
    name, length = session.session.session_id, params.max_new_tokens
    return [
        Branch(attach, length, params.temperature, uniforms(params.seed, name, turn, index, count=length))
        for index in range(params.samples)
    ]


def _decision(
    policy: Policy, attach: int, max_new_tokens: int, *, barred: tuple[tuple[int, ...], ...] = ()
) -> tuple[Branch, Branch]:
    return decision_branches(
        attach,
        max_new_tokens,
        stop=policy.stop_tokens,
        stop_beginning=policy.stop_beginning,
        threshold=policy.stop_threshold,
        barred=barred,
    )


def _greedy(policy: Policy, attach: int, max_new_tokens: int) -> list[Branch]:
    """The greedy answer, and the forced stop string if its probability decides."""
    answer, stop = _decision(policy, attach, max_new_tokens)
    return [answer] if answer.stop_branch is None else [answer, stop]


def _answer(policy: Policy, branch: Branch, task: str) -> SampledAnswer:
    if not all(np.isfinite(branch.logprobs)):
        raise StageError(
            "the policy's probabilities are not finite, so its weights are broken (a diverged training run?)",
            reason="NonFinitePolicy",
        )
    answer = policy.answer(branch.tokens, task)
    return SampledAnswer(
        tokens=tuple(branch.tokens),
        logprobs=tuple(branch.logprobs),
        text=answer.text,
        finished=branch.ended or bool(branch.forced),
        assessment=answer.assessment,
        malformed=answer.malformed,
    )
