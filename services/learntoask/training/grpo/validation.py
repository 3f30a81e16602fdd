"""Greedy decoding of the validation sessions: chooses the policy that GRPO publishes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean

from learntoask.core.answer import decision_of
from learntoask.core.records import LabelledSession
from learntoask.decoding.sessions import SamplingParams, decode_sessions
from learntoask.grading.grades import Grade, GradeCase, Grader, require_answers, stop_grade
from learntoask.policy.model import Policy
from learntoask.training.distributed.process_group import ALONE, Workers


@dataclass(frozen=True)
class Validation:
    """Metrics of docs/method.md, with the grader that rewards (the report has another). Each is 0 where the sessions
    hold no such sample. `totals`: the Total of every sample, session by session; None where the grade is missing."""

    total: float
    ws_continue: float
    ws_stop: float
    wa_gh: float
    samples: int
    totals: tuple[tuple[float | None, ...], ...] = ()

    def metrics(self) -> dict[str, float]:
        """Without the single samples."""
        return {name: value for name, value in asdict(self).items() if name != "totals"}


def validate(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    *,
    grader: Grader,
    max_new_tokens: int,
    max_missing_share: float,
    workers: Workers = ALONE,
) -> Validation:
    """All workers decode their share, and have the result.

    Raises TooManyMissing: what is left would choose between policies by who was graded, not by who is better."""
    decoded = workers.all_gather(
        decode_sessions(
            policy,
            workers.share(sessions),
            SamplingParams(temperature=0.0, max_new_tokens=max_new_tokens),
        )
    )
    answers = [
        (labelled, sample, completions[0].text)
        for labelled, groups in zip(sessions, decoded, strict=True)
        for sample, completions in zip(labelled.samples, groups, strict=True)
    ]
    cases = [GradeCase.of_sample(labelled, sample, text) for labelled, sample, text in answers]
    grades = workers.broadcast(lambda: grader.grade(cases))
    require_answers(
        grades,
        [case.response for case in cases],
        max_missing_share=max_missing_share,
        where="GRPO, validation sessions",
    )
    asks, stops, hits = [], [], []
    totals: dict[str, list[float | None]] = {labelled.session.session_id: [] for labelled, _, _ in answers}
    for (labelled, sample, text), graded in zip(answers, grades, strict=True):
        decided = decision_of(text)
        grade = stop_grade(text, decision=sample.decision) if decided == "stop" else graded
        if not isinstance(grade, Grade):
            totals[labelled.session.session_id].append(None)
            continue  # a missing grade leaves every metric
        right = float(decided == sample.decision)
        totals[labelled.session.session_id].append(right * (1 + 2 * grade.content_any + grade.format))
        if sample.decision == "stop":
            stops.append(right)
        else:
            asks.append(right)
            hits.append(right * grade.content_any)
    graded_totals = [one for of_session in totals.values() for one in of_session if one is not None]
    return Validation(
        total=_mean(graded_totals),
        ws_continue=_mean(asks),
        ws_stop=_mean(stops),
        wa_gh=_mean(hits),
        samples=len(graded_totals),
        totals=tuple(tuple(of_session) for of_session in totals.values()),
    )


def is_better(
    candidate: Validation, *, than: Validation, start: Validation, max_stop_loss: float, confidence: float
) -> bool:
    """Whether `candidate` may replace `than`: a greater Total, surely a greater one than the SFT policy's (`start`),
    and hardly a stop lost against it.

    Surely: the best of several checkpoints looks better than it is, so the lower bound of its gain must be above 0.
    """
    return (
        candidate.total > than.total
        and candidate.ws_stop >= start.ws_stop - max_stop_loss
        and gain_lower_bound(candidate, over=start, confidence=confidence) > 0
    )


def gain_lower_bound(candidate: Validation, *, over: Validation, confidence: float) -> float:
    """One-sided lower bound of the mean paired difference in Total, its variance clustered by session."""
    gains = [
        [new - old for new, old in zip(news, olds, strict=True) if new is not None and old is not None]
        for news, olds in zip(candidate.totals, over.totals, strict=True)
    ]
    samples = sum(map(len, gains))
    if not samples:
        return 0.0
    mean = sum(map(sum, gains)) / samples
    variance = sum((sum(of_session) - mean * len(of_session)) ** 2 for of_session in gains) / samples**2
    return mean - NormalDist().inv_cdf(confidence) * math.sqrt(variance)


def _mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0
