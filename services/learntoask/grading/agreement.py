"""Measure how far a grader agrees with the labels of held-out sessions, with intervals clustered by session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from learntoask.core.intervals import wilson
from learntoask.grading.grades import Grade, MissingGrade
from learntoask.statistics.bootstrap import percentile_intervals
from learntoask.statistics.kappa import kappa

_RESAMPLES = 1000
_COUNTS = (
    "questions",
    "missing",
    "refused",
    "known_wording",
    "graded",
    "hit",
    "exact",
    "both",
    "only_grader",
    "only_gold",
    "neither",
)
_Counts = NDArray[np.float64]  # [..., len(_COUNTS)]


@dataclass(frozen=True, kw_only=True)
class GradedQuestion:
    """An expert question with the fields that it asks for by its label, and its grade.

    `known_wording`: the grader was fitted on the same words in another session, so its grade is hardly a test.
    """

    session_id: str
    seen: bool  # whether a training session has a task of its group
    fields: frozenset[str]  # all fields of its task
    gold: frozenset[str]  # the fields that it asks for by its label
    grade: Grade | MissingGrade
    known_wording: bool = False


def agreement(graded: Sequence[GradedQuestion], *, seed: int = 0) -> dict[str, JsonValue]:
    """Return the figures over all questions and, if there are both, over those of seen and of unseen tasks.

    If the grader knows some questions by their words, `new_wording` has the figures over the others, perhaps of none.
    """
    found = _figures(graded, seed)
    groups = {
        "seen": [question for question in graded if question.seen],
        "unseen": [question for question in graded if not question.seen],
    }
    if all(groups.values()):
        found |= {name: _figures(group, seed) for name, group in groups.items()}
    if any(question.known_wording for question in graded):
        found["new_wording"] = _figures([question for question in graded if not question.known_wording], seed)
    return found


def share(outcomes: Sequence[bool]) -> JsonValue:
    """Return the share of true outcomes with its count and Wilson's 95 % interval."""
    count = len(outcomes)
    if not count:
        return {"value": None, "low": None, "high": None, "n": 0}
    hits = sum(outcomes)
    low, high = wilson(hits, count)
    return {"value": round(hits / count, 4), "low": round(low, 4), "high": round(high, 4), "n": count}


def _figures(graded: Sequence[GradedQuestion], seed: int) -> dict[str, JsonValue]:
    per_session: dict[str, _Counts] = {}
    for question in graded:
        per_session.setdefault(question.session_id, np.zeros(len(_COUNTS)))
        per_session[question.session_id] += _counts(question)
    table = np.array(list(per_session.values())).reshape(-1, len(_COUNTS))
    found: dict[str, JsonValue] = {"questions": len(graded), "sessions": len(table)}
    found["pairs"] = int(
        sum(len(question.fields) for question in graded if isinstance(question.grade, Grade))
    )
    return found | cluster_bootstrap(table, _metrics, seed=seed)


def cluster_bootstrap(
    table: _Counts, metrics: Callable[[_Counts], Mapping[str, NDArray[np.float64]]], *, seed: int
) -> dict[str, JsonValue]:
    """Return the metrics of a table of counts, [sessions, counts], with 95 % bootstrap intervals.

    Whole sessions are drawn with replacement. `metrics` maps counts [..., counts] to one array [...] per metric.
    """
    found = percentile_intervals(table, metrics, resamples=_RESAMPLES, seed=seed)
    return {
        name: {"value": _number(value), "low": _number(low), "high": _number(high)}
        for name, (value, low, high) in found.items()
    }


def _counts(question: GradedQuestion) -> _Counts:
    counts = dict.fromkeys(_COUNTS, 0.0)
    counts["questions"] = 1
    counts["known_wording"] = question.known_wording
    if isinstance(question.grade, MissingGrade):
        counts["missing"] = 1
    else:
        asked = question.grade.asked
        counts["refused"] = not question.grade.is_question
        counts["graded"] = 1
        counts["hit"] = bool(asked & question.gold)
        counts["exact"] = asked == question.gold
        counts["both"] = len(asked & question.gold)
        counts["only_grader"] = len(asked - question.gold)
        counts["only_gold"] = len(question.gold - asked)
        counts["neither"] = len(question.fields - asked - question.gold)
    return np.array([float(counts[name]) for name in _COUNTS])


def _metrics(counts: _Counts) -> dict[str, NDArray[np.float64]]:
    questions, missing, refused, known_wording, graded, hit, exact = (
        counts[..., _COUNTS.index(name)] for name in _COUNTS[:7]
    )
    both, neither = counts[..., _COUNTS.index("both")], counts[..., _COUNTS.index("neither")]
    pairs = counts[..., -4:].sum(axis=-1)
    return {
        "any_hit": _ratio(hit, graded),  # finds at least one gold field; missing grades are left out
        "any_hit_of_all": _ratio(hit, questions),  # a missing grade counts as a miss
        "exact": _ratio(exact, graded),
        "pair_agreement": _ratio(both + neither, pairs),
        # Of (question, field) pairs, by who calls the field asked.
        "kappa": np.where(pairs > 0, kappa(counts[..., -4:].reshape(*counts.shape[:-1], 2, 2)), np.nan),
        "missing": _ratio(missing, questions),
        "refused": _ratio(refused, questions),
        "known_wording": _ratio(known_wording, questions),
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def same_fields(first: Iterable[Grade | MissingGrade], second: Iterable[Grade | MissingGrade]) -> list[bool]:
    """Return for each question that both graders answer whether they find the same fields."""
    return [
        grade.asked == other.asked
        for grade, other in zip(first, second, strict=True)
        if isinstance(grade, Grade) and isinstance(other, Grade)
    ]
