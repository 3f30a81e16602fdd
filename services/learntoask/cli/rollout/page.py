"""The page of a rollout: one HTML file without anything outside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.json_lines import read_records
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.rollout import Evidence, RolloutStatus
from learntoask.evaluation.report.html import load_template
from learntoask.rollout.evidence import evidence_of, harm_limit, interval_of, safe_limit
from learntoask.serving.rollout.pairs import Pair

_WIDTH, _HEIGHT = 420, 120  # of a picture
_MOST_PAIRS = 200


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """The evidence about one metric at the looks, as points of a picture."""

    metric: str
    canary: float | None
    control: float | None
    observed: int
    low: float
    high: float
    harm: str
    safe: str


def rollout_page(strategy: Strategy, state: RolloutStatus, pairs: Iterable[Path]) -> str:
    """Return the page. Raises InputError for a file of pairs that cannot be read."""
    return load_template(__package__, "page.html.j2").render(
        state=state,
        curves=[_curve(strategy, state, found) for found in evidence_of(strategy, state.counts)],
        pairs=[pair for path in pairs for pair in read_records(path, Pair)][-_MOST_PAIRS:],
        width=_WIDTH,
        height=_HEIGHT,
    )


def _curve(strategy: Strategy, state: RolloutStatus, found: Evidence) -> _Curve:
    low, high = interval_of(found.metric, state.counts, alpha=strategy.alpha)
    looks = [
        (look.conversations, one)
        for look in state.verdicts
        for one in look.evidence
        if one.metric == found.metric
    ]
    return _Curve(
        metric=found.metric,
        canary=found.canary,
        control=found.control,
        observed=found.observed,
        low=low,
        high=high,
        harm=_points([(number, one.harm / harm_limit(strategy)) for number, one in looks]),
        safe=_points([(number, one.safe / safe_limit(strategy)) for number, one in looks]),
    )


def _points(values: list[tuple[int, float]]) -> str:
    """Return points of a line: conversations to the right, evidence upwards; the top is what a verdict needs."""
    most = max((number for number, _ in values), default=1) or 1
    return " ".join(
        f"{number / most * _WIDTH:.1f},{_HEIGHT * (1 - min(max(share, 0.0), 1.0)):.1f}"
        for number, share in values
    )
