"""Chooses the probability from which the policy stops, by what it costs to stop early and to ask needlessly.

Sessions that the policy was not trained on decide: the validation sessions and those kept from SFT.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from learntoask.core.manifest import Train
from learntoask.core.records import LabelledSession
from learntoask.decoding.sessions import SamplingParams, decide_sessions
from learntoask.grading.grades import Grade, GradeCase, Grader, MissingGrade
from learntoask.policy.model import Policy
from learntoask.policy.precision import autocast
from learntoask.policy.stopping import DEFAULT_THRESHOLD, Stopping
from learntoask.statistics.binary_calibration import fit_temperature
from learntoask.training.distributed.process_group import ALONE, Workers

_NEVER = 1 - 1e-7  # threshold at which a policy that is not certain of its stop asks
_TRIED = (0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 20)), 0.98, 0.99)
_RIGHT_STOP = 4.0  # its Total: A(1 + 2C) + F with A = C = F = 1


@dataclass(frozen=True)
class StopPoint:
    """A decision point. `asked_total` is the Total of the policy's question there, None if it has no grade."""

    stop_logprob: float
    is_stop: bool
    asked_total: float | None


def measure(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    *,
    grader: Grader | None,
    max_new_tokens: int,
    precision: torch.dtype,
    workers: Workers = ALONE,
) -> list[StopPoint]:
    """Return the decision points of `sessions`. `grader` is needed on the leader only; without it nothing is graded."""
    asking = replace(policy, limits=replace(policy.limits, stop_threshold=_NEVER))
    params = SamplingParams(samples=0, temperature=1.0, max_new_tokens=max_new_tokens)
    with autocast(precision, policy.model.device):
        decided = workers.all_gather(decide_sessions(asking, workers.share(sessions), params))
    found = [
        (labelled, sample, point)
        for labelled, points in zip(sessions, decided, strict=True)
        for sample, point in zip(labelled.samples, points, strict=True)
    ]
    asked = [
        GradeCase.of_sample(labelled, sample, point.greedy.text)
        for labelled, sample, point in found
        if sample.decision == "continue"
    ]
    grades = iter(workers.broadcast(lambda: grader.grade(asked) if grader else [None] * len(asked)))
    return [
        StopPoint(point.stop_logprob, is_stop=True, asked_total=0.0)
        if sample.decision == "stop"
        else StopPoint(point.stop_logprob, is_stop=False, asked_total=_total_of(next(grades)))
        for _, sample, point in found
    ]


def _total_of(grade: Grade | MissingGrade | None) -> float | None:
    return 1 + 2 * grade.content_any + grade.format if isinstance(grade, Grade) else None


def choose_threshold(
    points: Sequence[StopPoint], *, max_stop_loss: float, early_stop_cost: float | None
) -> float:
    """Return the threshold of `points` that costs least.

    With `early_stop_cost` the cost is that many needless questions for every early stop. Without it, it is the one with
    the greatest Total that loses at most `max_stop_loss` of the stops against the default threshold. Of equally good
    ones it is the one nearest to the default.
    """
    if early_stop_cost is not None:
        return min(
            _TRIED,
            key=lambda t: (
                early_stop_cost * early_stops(points, t) + needless_questions(points, t),
                _distance(t),
            ),
        )
    most = needless_questions(points, DEFAULT_THRESHOLD) + max_stop_loss * sum(p.is_stop for p in points)
    allowed = [t for t in _TRIED if needless_questions(points, t) <= most]
    return max(allowed, key=lambda t: (total(points, t), -_distance(t)))


def early_stops(points: Sequence[StopPoint], threshold: float) -> int:
    """Return at how many points the policy stops although the expert goes on."""
    return sum(not point.is_stop and _stops(point, threshold) for point in points)


def needless_questions(points: Sequence[StopPoint], threshold: float) -> int:
    """Return at how many points the policy asks although the expert stops."""
    return sum(point.is_stop and not _stops(point, threshold) for point in points)


def total(points: Sequence[StopPoint], threshold: float) -> float:
    """Return the mean Total; points where a question has no grade are left out at every threshold."""
    graded = [point for point in points if point.asked_total is not None or point.is_stop]
    earned = sum(
        (_RIGHT_STOP if point.is_stop else 0.0) if _stops(point, threshold) else point.asked_total or 0.0
        for point in graded
    )
    return earned / len(graded) if graded else 0.0


def stopping_of(train: Train, points: Sequence[StopPoint], *, sessions: int) -> Stopping:
    """Choose the threshold and the temperature at `points`, the decision points of `sessions` sessions."""
    return Stopping(
        threshold=choose_threshold(
            points, max_stop_loss=train.grpo.max_stop_loss, early_stop_cost=train.early_stop_cost
        ),
        temperature=_temperature(points),
        sessions=sessions,
        points=len(points),
        stops=sum(point.is_stop for point in points),
    )


def recalibrated(
    stopping: Stopping,
    policy: Policy,
    validation: Sequence[LabelledSession],
    *,
    precision: torch.dtype,
) -> Stopping:
    """Return `stopping` with the temperature of the trained `policy`, which the kept sessions were no test for."""
    points = measure(policy, validation, grader=None, max_new_tokens=1, precision=precision)
    return stopping.model_copy(update={"temperature": _temperature(points)}) if points else stopping


def _temperature(points: Sequence[StopPoint]) -> float:
    return fit_temperature([point.stop_logprob for point in points], [point.is_stop for point in points])


def _stops(point: StopPoint, threshold: float) -> bool:
    return point.stop_logprob >= math.log(threshold)


def _distance(threshold: float) -> float:
    return abs(math.log(threshold / DEFAULT_THRESHOLD))
