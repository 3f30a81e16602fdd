"""Correct the metrics of a policy by what people say is true in some sessions (PPI++, docs/calibration.md).

People judge which fields the experts asked for and where the experts acted, so the correction covers faults of the
labels. It does not cover faults of the grader in reading the policy's own questions, which no person has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from learntoask.calibration.truth import HumanPoint
from learntoask.core.manifest.metric import CORRECTED_METRICS
from learntoask.evaluation.decisions import DecisionRecord, outcome
from learntoask.evaluation.stats.metrics import IN_UNIT_RANGE, Outcome, parts_of, rows
from learntoask.grading.grades import question_grade
from learntoask.statistics.bootstrap import Estimate, Floats
from learntoask.statistics.prediction_powered import ppi_mean
from learntoask.statistics.student import student_quantile

_FEWEST_SESSIONS = 5  # with human truth, below which an interval would rest on chance


def corrected_metrics(
    decisions: Sequence[DecisionRecord], points: Iterable[HumanPoint]
) -> dict[str, Estimate]:
    """Return the corrected metrics of one policy under one decoding; empty without human truth for enough sessions.

    `n` of an estimate is the number of decisions with human truth.
    """
    by_point = {(point.session_id, point.turn): point for point in points}
    judged = {decision.session for decision in decisions if decision.point in by_point}
    if len(judged) < _FEWEST_SESSIONS:
        return {}
    machine = rows([outcome(decision, "reporting") for decision in decisions])
    human = np.full_like(machine, np.nan)
    inclusion = np.ones(len(decisions))
    for index, decision in enumerate(decisions):
        point = by_point.get(decision.point)
        if point is not None:
            human[index] = rows([_by_people(decision, point)])[0]
            inclusion[index] = point.inclusion
    sessions = [decision.session for decision in decisions]
    return {
        name: _ratio(*parts_of(name, human), *parts_of(name, machine), inclusion, sessions, share=share)
        for name, share in _shares().items()
    }


def _by_people(decision: DecisionRecord, point: HumanPoint) -> Outcome:
    """Return the outcome of a decision under the human truth. What its question asks for is still the grader's word."""
    found = outcome(decision, "reporting")
    grade = question_grade(frozenset(decision.reporting.asked), target=point.target)
    needs_grade = point.decision == decision.decision == "continue"
    return replace(
        found,
        truth=point.decision,
        content=grade.content_any,
        content_share=grade.content,
        missing=needs_grade and decision.reporting.missing is not None,
    )


def _ratio(
    human_above: Floats,
    human_below: Floats,
    above: Floats,
    below: Floats,
    inclusion: Floats,
    sessions: Sequence[str],
    *,
    share: bool,
) -> Estimate:
    """Return the ratio of two PPI++ means, with the interval of its linearisation (delta method)."""

    def mean(labels: Floats, predictions: Floats) -> tuple[float, float, int]:
        found = ppi_mean(labels, predictions, inclusion=inclusion, sessions=sessions)
        return found.value, found.standard_error, found.sessions

    denominator, _, labelled = mean(human_below, below)
    judged = int((~np.isnan(human_below)).sum())
    if denominator <= 0:
        return Estimate(value=None, n=judged)
    ratio = mean(human_above, above)[0] / denominator
    # The mean of above − ratio · below is 0 for the ratio that both means agree on.
    rest, error, _ = mean(human_above - ratio * human_below, above - ratio * below)
    value, half = ratio + rest / denominator, student_quantile(0.975, labelled - 1) * error / denominator
    low, high = value - half, value + half
    if share:
        value, low, high = (min(1.0, max(0.0, bound)) for bound in (value, low, high))
    known = bool(np.isfinite(low) and np.isfinite(high))
    return Estimate(value=value, low=low if known else None, high=high if known else None, n=judged)


def _shares() -> Mapping[str, bool]:
    return {name: name in IN_UNIT_RANGE for name in CORRECTED_METRICS}
