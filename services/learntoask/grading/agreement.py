"""How far a grader agrees with annotations of sessions that did not teach it, with intervals clustered by session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from learntoask.grading.grades import Grade, MissingGrade

_RESAMPLES = 1000
_LEVEL = 0.95
_Z = 1.959964  # normal quantile of that level
_COUNTS = (
    "questions",
    "missing",
    "refused",
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
    """An expert question with the fields it asks for by the annotation, and what the grader made of it."""

    session_id: str
    seen: bool  # whether training knows its group of tasks
    fields: frozenset[str]  # all fields of its task
    gold: frozenset[str]
    grade: Grade | MissingGrade


def agreement(judged: Sequence[GradedQuestion], *, seed: int = 0) -> dict[str, JsonValue]:
    """Figures over all questions, and over those of seen and of unseen tasks where there are both."""
    found = _figures(judged, seed)
    groups = {"seen": [one for one in judged if one.seen], "unseen": [one for one in judged if not one.seen]}
    if all(groups.values()):
        found |= {name: _figures(group, seed) for name, group in groups.items()}
    return found


def share(outcomes: Sequence[bool]) -> JsonValue:
    """Share of true ones with its count and Wilson's interval."""
    count = len(outcomes)
    if not count:
        return {"value": None, "low": None, "high": None, "n": 0}
    value = sum(outcomes) / count
    spread = _Z * np.sqrt(value * (1 - value) / count + (_Z / (2 * count)) ** 2)
    middle, scale = value + _Z**2 / (2 * count), 1 + _Z**2 / count
    low, high = max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4), "n": count}


def kappa(counts: _Counts) -> NDArray[np.float64]:
    """Cohen's κ, [...], of counts whose last four columns are: both say so, only the grader, only the gold, neither.
    1 where grader and gold never differ, however skewed they are."""
    both, grader, gold, neither = np.moveaxis(counts[..., -4:], -1, 0)
    total = np.maximum(both + grader + gold + neither, 1)
    observed = (both + neither) / total
    says, is_so = (both + grader) / total, (both + gold) / total
    chance = says * is_so + (1 - says) * (1 - is_so)
    return np.where(chance < 1, (observed - chance) / np.where(chance < 1, 1 - chance, 1), 1.0)


def _figures(judged: Sequence[GradedQuestion], seed: int) -> dict[str, JsonValue]:
    per_session: dict[str, _Counts] = {}
    for one in judged:
        per_session.setdefault(one.session_id, np.zeros(len(_COUNTS)))
        per_session[one.session_id] += _counts(one)
    table = np.array(list(per_session.values())).reshape(-1, len(_COUNTS))
    found: dict[str, JsonValue] = {"questions": len(judged), "sessions": len(table)}
    found["pairs"] = int(sum(len(one.fields) for one in judged if isinstance(one.grade, Grade)))
    return found | cluster_bootstrap(table, _metrics, seed=seed)


def cluster_bootstrap(
    table: _Counts, metrics: Callable[[_Counts], Mapping[str, NDArray[np.float64]]], *, seed: int
) -> dict[str, JsonValue]:
    """Metrics of counts [sessions, counts] with intervals from drawing whole sessions."""
    sessions = len(table)
    draws = np.zeros((1, 0))
    if sessions:
        draws = np.random.default_rng(seed).multinomial(
            sessions, np.full(sessions, 1 / sessions), size=_RESAMPLES
        )
    point, resampled = metrics(table.sum(axis=0)), metrics(draws @ table)
    found: dict[str, JsonValue] = {}
    for name, value in point.items():
        low, high = _interval(resampled[name])
        found[name] = {"value": _number(value), "low": _number(low), "high": _number(high)}
    return found


def _counts(one: GradedQuestion) -> _Counts:
    counts = dict.fromkeys(_COUNTS, 0.0)
    counts["questions"] = 1
    if isinstance(one.grade, MissingGrade):
        counts["missing"] = 1
    else:
        asked = one.grade.asked
        counts["refused"] = not one.grade.is_question
        counts["graded"] = 1
        counts["hit"] = bool(asked & one.gold)
        counts["exact"] = asked == one.gold
        counts["both"] = len(asked & one.gold)
        counts["only_grader"] = len(asked - one.gold)
        counts["only_gold"] = len(one.gold - asked)
        counts["neither"] = len(one.fields - asked - one.gold)
    return np.array([float(counts[name]) for name in _COUNTS])


def _metrics(counts: _Counts) -> dict[str, NDArray[np.float64]]:
    questions, missing, refused, graded, hit, exact = (
        counts[..., _COUNTS.index(name)] for name in _COUNTS[:6]
    )
    both, neither = counts[..., _COUNTS.index("both")], counts[..., _COUNTS.index("neither")]
    pairs = counts[..., -4:].sum(axis=-1)
    return {
        "any_hit": _ratio(hit, graded),  # asks for at least one of the gold fields; a missing grade leaves
        "any_hit_of_all": _ratio(hit, questions),  # a missing grade counts as a miss
        "exact": _ratio(exact, graded),
        "pair_agreement": _ratio(both + neither, pairs),
        "kappa": np.where(pairs > 0, kappa(counts), np.nan),
        "missing": _ratio(missing, questions),
        "refused": _ratio(refused, questions),
    }


def _interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """Percentiles over the resamples that have a value at all."""
    known = resampled[~np.isnan(resampled)]
    if not known.size:
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _number(value: float | NDArray[np.float64]) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def same_fields(first: Iterable[Grade | MissingGrade], second: Iterable[Grade | MissingGrade]) -> list[bool]:
    """Whether two graders find the same fields, question by question, where both answer."""
    return [
        one.asked == other.asked
        for one, other in zip(first, second, strict=True)
        if isinstance(one, Grade) and isinstance(other, Grade)
    ]
