"""The bounds of a model-free grader, chosen on a grid by its agreement with people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from learntoask.calibration.agreement import pairs_with
from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import Finding, grade_case
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.core.records import Session
from learntoask.grading.fields.fitted import GradeBounds
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.grades import Grade
from learntoask.statistics.kappa import kappa

_ASKED_FROM = (0.3, 0.4, 0.5, 0.6, 0.7)
_UNSURE = (0.5, 1.0, 1.5)  # factors of the fitted width within which a grade is missing
_IDLE = (0.5, 1.0, 2.0)  # factors of the fitted bounds below which nothing is asked for
_LEAST_GAIN = 0.01  # of κ, below which the fitted bounds stay


def grid(bounds: GradeBounds) -> Iterator[GradeBounds]:
    """Yield the bounds to try, those of the fit first."""
    yield bounds
    for asked_from in _ASKED_FROM:
        for unsure in _UNSURE:
            for idle in _IDLE:
                tried = replace(
                    bounds,
                    asked_from=asked_from,
                    unsure=round(bounds.unsure * unsure, 6),
                    idle_from=min(bounds.idle_from * idle, 0.5),
                    idle_to=min(bounds.idle_to * idle, 0.5),
                )
                if tried != bounds:
                    yield tried


def choose_bounds(
    grader: FieldGrader,
    answered: Sequence[Answered],
    findings: Mapping[TurnKey, Finding],
    sessions: Mapping[str, Session],
) -> GradeBounds:
    """Return the bounds with the highest κ with people on `answered`, or those of the fit if no others gain .01.

    `answered` are items of kind `asks_for`. The grader keeps its bounds.
    """
    fitted = grader.fitted.bounds
    best, highest = fitted, None
    try:
        for bounds in grid(fitted):
            grader.use_bounds(bounds)
            tables = pairs_with(answered, judged(grader, answered, findings, sessions).get).tables()
            value = float(kappa(tables.sum(axis=0))) if len(tables) else 1.0
            if highest is None or value >= highest + _LEAST_GAIN:
                best, highest = bounds, value
    finally:
        grader.use_bounds(fitted)
    return best


def judged(
    grader: FieldGrader,
    answered: Sequence[Answered],
    findings: Mapping[TurnKey, Finding],
    sessions: Mapping[str, Session],
) -> dict[TurnKey, frozenset[str]]:
    """Return what the grader finds in the turns of the answered items; turns without a grade are left out."""
    keys = dict.fromkeys((one.item.origin.session_id, one.item.origin.turn) for one in answered)
    known = [key for key in keys if key in findings]
    grades = grader.grade([grade_case(findings[key], sessions[key[0]]) for key in known])
    return {key: grade.asked for key, grade in zip(known, grades, strict=True) if isinstance(grade, Grade)}
