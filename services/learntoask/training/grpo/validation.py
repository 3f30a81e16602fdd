"""Validation of a policy by greedy decoding of the validation sessions; it chooses the policy that is published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from statistics import NormalDist, fmean

from learntoask.core.answer import decision_of
from learntoask.core.records import Decision, LabelledSession, Sample
from learntoask.decoding.sessions import SamplingParams, decode_sessions
from learntoask.grading.grades import (
    REFUSED,
    UNLIKE_EXPERTS,
    Grade,
    GradeCase,
    Grader,
    MissingGrade,
    require_answers,
    stop_grade,
)
from learntoask.policy.model import Policy
from learntoask.training.distributed.process_group import ALONE, Workers


@dataclass(frozen=True)
class Validation:
    """The metrics of docs/method.md, by the grader that also rewards (the report uses another grader).

    Each metric is 0 where the sessions hold no sample it is about. Of all answers, `missing` is the share without a
    grade, and `refused` and `unlike_experts` are the shares that are graded 0 because they are no fluent question, or
    are unlike every question of the experts. `totals` holds the Total of every sample, session by
    session; None where the grade is missing.
    """

    total: float
    ws_continue: float
    ws_stop: float
    wa_gh: float
    samples: int
    missing: float = 0.0
    refused: float = 0.0
    unlike_experts: float = 0.0
    totals: tuple[tuple[float | None, ...], ...] = ()

    def metrics(self) -> dict[str, float]:
        """Return the metrics without the Totals of the samples."""
        return {name: value for name, value in asdict(self).items() if name != "totals"}


@dataclass(frozen=True)
class _Point:
    """One validated decision point. `total` and `hit` are None where the grade is missing."""

    session_id: str
    decision: Decision
    right: float
    total: float | None = None
    hit: float | None = None


def validate(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    *,
    grader: Grader,
    max_new_tokens: int,
    max_missing_share: float,
    workers: Workers = ALONE,
) -> Validation:
    """Decode every worker's share of `sessions`; all workers return the same validation.

    Raises TooManyMissing when more than `max_missing_share` of the grades are missing, because the policies would then
    be compared by which of their answers were graded.
    """
    greedy = SamplingParams(temperature=0.0, max_new_tokens=max_new_tokens)
    decoded = workers.all_gather(decode_sessions(policy, workers.share(sessions), greedy))
    answers = [
        (labelled, sample, completions[0].text)
        for labelled, groups in zip(sessions, decoded, strict=True)
        for sample, completions in zip(labelled.samples, groups, strict=True)
    ]
    cases = [GradeCase.of_sample(labelled, sample, text) for labelled, sample, text in answers]
    grades = workers.broadcast(lambda: grader.grade(cases))
    missing = require_answers(
        grades,
        [case.response for case in cases],
        max_missing_share=max_missing_share,
        where="GRPO, validation sessions",
    )
    reasons = [
        grade.reason
        for case, grade in zip(cases, grades, strict=True)
        if isinstance(grade, Grade) and decision_of(case.response) == "continue"
    ]
    summary = _summary(
        [
            _point(labelled, sample, text, grade)
            for (labelled, sample, text), grade in zip(answers, grades, strict=True)
        ]
    )
    return replace(
        summary,
        missing=missing,
        refused=reasons.count(REFUSED.reason) / max(1, len(grades)),
        unlike_experts=reasons.count(UNLIKE_EXPERTS.reason) / max(1, len(grades)),
    )


def _point(labelled: LabelledSession, sample: Sample, text: str, graded: Grade | MissingGrade) -> _Point:
    decided = decision_of(text)
    right = float(decided == sample.decision)
    grade = stop_grade(text, decision=sample.decision) if decided == "stop" else graded
    point = _Point(labelled.session.session_id, sample.decision, right)
    if not isinstance(grade, Grade):
        return point
    total = right * (1 + 2 * grade.content_any + grade.format)
    return replace(point, total=total, hit=right * grade.content_any)


def _summary(points: Sequence[_Point]) -> Validation:
    """A point with a missing grade is left out of every metric."""
    graded = [point for point in points if point.total is not None]
    asks = [point for point in graded if point.decision == "continue"]
    stops = [point for point in graded if point.decision == "stop"]
    return Validation(
        total=_mean([point.total for point in graded]),
        ws_continue=_mean([point.right for point in asks]),
        ws_stop=_mean([point.right for point in stops]),
        wa_gh=_mean([point.hit for point in asks]),
        samples=len(graded),
        totals=tuple(
            tuple(point.total for point in of_session)
            for _, of_session in groupby(points, key=lambda point: point.session_id)
        ),
    )


def refusal(
    candidate: Validation, *, than: Validation, start: Validation, max_stop_loss: float, confidence: float
) -> str | None:
    """Return why `candidate` may not replace `than` as the policy to publish, None if it may.

    It may if its Total is above that of `than`, its stop score is at most `max_stop_loss` below the SFT policy's
    (`start`), and the lower confidence bound of its gain over the SFT policy is above 0. The bound is needed because
    the best of several checkpoints looks better than it is.
    """
    if candidate.total <= than.total:
        return f"its Total is {candidate.total:.3f}, not above {than.total:.3f}"
    if candidate.ws_stop < start.ws_stop - max_stop_loss:
        lost = start.ws_stop - candidate.ws_stop
        return f"it misses {lost:.1%} of the stops in addition (grpo.maxStopLoss allows {max_stop_loss:.1%})"
    bound = gain_lower_bound(candidate, over=start, confidence=confidence)
    if bound <= 0:
        gain = candidate.total - start.total
        return (
            f"its gain of {gain:+.3f} in Total may be chance (the one-sided {confidence:.0%} lower bound is "
            f"{bound:+.3f})"
        )
    return None


def gain_lower_bound(candidate: Validation, *, over: Validation, confidence: float) -> float:
    """Return the one-sided lower bound of the mean paired difference in Total, with variance clustered by session.

    Samples that lack a grade in either validation are left out. Without any pair the bound is 0.
    """
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


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known else 0.0
