"""Compute confidence intervals by resampling whole sessions, because the turns of one session are not independent.

Resampling acts on sums per session, so one matrix product serves all metrics and all policies, and differences of
policies on the same sessions are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from learntoask.core.intervals import LEVEL, wilson
from learntoask.core.records import Record

Floats: TypeAlias = NDArray[np.float64]

_CELLS_AT_ONCE = 4_000_000  # limit of resamples × sessions in memory (32 MB)
_MAX_UNDEFINED = 0.05  # share of resamples in which a metric may be undefined if it is to have an interval


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Metrics that are functions of the same sums, of shape (…, columns).

    `values` and `denominators` return an array of shape (…) per metric: its value, NaN where it is undefined, and the
    number of completions that it is a mean over. `shares` names the metrics that lie between 0 and 1.
    """

    values: Callable[[Floats], Mapping[str, Floats]]
    denominators: Callable[[Floats], Mapping[str, Floats]]
    shares: frozenset[str]


class Estimate(Record):
    """A metric with its 95 % interval. `n` is the number of completions; `value` is None if `n` is 0.

    `low` and `high` are None if there are fewer than two sessions, or if the metric is undefined in more than 5 % of
    the resamples.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Difference(Record):
    """A difference after − before with its two-sided 95 % interval, both one-sided 95 % bounds and a p-value."""

    value: float | None
    low: float | None = None
    high: float | None = None
    one_sided_low: float | None = None
    one_sided_high: float | None = None
    p_value: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the two-sided 95 % interval excludes 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def resampled_sums(sums: Floats, *, resamples: int, seed: int) -> Floats:
    """Return the column totals of `resamples` draws of sessions with replacement: (sessions, k) → (resamples, k).

    The draws depend only on the number of sessions, `resamples` and `seed`.
    """
    sessions = len(sums)
    if sessions == 0:
        return np.zeros((resamples, sums.shape[1]))
    random = np.random.default_rng([seed, sessions])
    step = max(1, _CELLS_AT_ONCE // sessions)
    parts = []
    for start in range(0, resamples, step):
        draws = random.integers(sessions, size=(min(step, resamples - start), sessions))
        offset = np.arange(len(draws))[:, None] * sessions
        counts = np.bincount((draws + offset).ravel(), minlength=len(draws) * sessions)
        parts.append(counts.reshape(len(draws), sessions).astype(np.float64) @ sums)
    return np.concatenate(parts)


def percentile_intervals(
    sums: Floats, values: Callable[[Floats], Mapping[str, Floats]], *, resamples: int, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Return (value, low, high) of every metric of `sums` (sessions, columns); NaN where it is undefined.

    The draws are counts of sessions, which is the faster way for few sessions, and resamples in which a metric is
    undefined are left out. The recorded figures of graders depend on these draws.
    """
    sessions = len(sums)
    draws: Floats = np.zeros((1, 0))
    if sessions:
        random = np.random.default_rng(seed)
        draws = random.multinomial(sessions, np.full(sessions, 1 / sessions), size=resamples).astype(
            np.float64
        )
    point, resampled = values(sums.sum(axis=0)), values(draws @ sums)
    return {name: (float(value), *_percentiles(resampled[name])) for name, value in point.items()}


def _percentiles(resampled: Floats) -> tuple[float, float]:
    known = resampled[~np.isnan(resampled)]
    if not known.size:
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def estimates(sums: Floats, metrics: Metrics, *, resamples: int, seed: int) -> dict[str, Estimate]:
    """Return every metric with its interval, from the sums (sessions, columns) of one policy."""
    total = sums.sum(axis=0)
    point, counts = metrics.values(total), metrics.denominators(total)
    drawn = metrics.values(resampled_sums(sums, resamples=resamples, seed=seed))
    sessions = {name: int((below > 0).sum()) for name, below in metrics.denominators(sums).items()}
    return {
        name: _estimate(
            float(point[name]),
            drawn[name],
            n=round(float(counts[name])),
            sessions=sessions[name],
            is_share=name in metrics.shares,
        )
        for name in point
    }


def mean_estimates(
    columns: dict[str, tuple[Floats, Floats]], *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return ratios of sums with intervals. A column holds numerators and denominators, both of shape (sessions,)."""
    if not columns:
        return {}
    stacked = np.stack([part for pair in columns.values() for part in pair], axis=1)
    drawn = resampled_sums(stacked, resamples=resamples, seed=seed)
    found = {}
    for index, (name, (above, below)) in enumerate(columns.items()):
        is_share = bool(np.all((above >= 0) & (above <= below)))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.where(
                drawn[:, 2 * index + 1] > 0, drawn[:, 2 * index] / drawn[:, 2 * index + 1], np.nan
            )
            value = float(above.sum() / below.sum()) if below.sum() > 0 else np.nan
        n = round(float(below.sum()))
        found[name] = _estimate(value, ratios, n=n, sessions=int((below > 0).sum()), is_share=is_share)
    return found


def contrasts(
    strata: Sequence[Sequence[Floats]],
    coefficients: Sequence[float],
    metrics: Metrics,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Difference]:
    """Return Σ coefficient · value over the runs for every metric, e.g. with (−1, +1) for after − before.

    A stratum holds one array of sums (sessions, columns) per run, for the same sessions in the same order. They are
    drawn together, so the runs are paired. A run without the stratum's sessions has an array of shape (0, columns).
    """
    width = strata[0][0].shape[1]
    points = [np.zeros(width) for _ in coefficients]
    drawn = [np.zeros((resamples, width)) for _ in coefficients]
    for index, stratum in enumerate(strata):
        present = [run for run, sums in enumerate(stratum) if len(sums)]
        if not present:
            continue
        together = resampled_sums(
            np.hstack([stratum[run] for run in present]), resamples=resamples, seed=seed + index
        )
        for place, run in enumerate(present):
            points[run] += stratum[run].sum(axis=0)
            drawn[run] += together[:, place * width : (place + 1) * width]
    sessions = sum(max(map(len, stratum)) for stratum in strata)
    value, resampled = _combined(points, coefficients, metrics), _combined(drawn, coefficients, metrics)
    return {name: _difference(float(value[name]), resampled[name], sessions=sessions) for name in value}


def _combined(sums: Sequence[Floats], coefficients: Sequence[float], metrics: Metrics) -> dict[str, Floats]:
    found = [metrics.values(of_run) for of_run in sums]
    return {
        name: np.sum([weight * run[name] for weight, run in zip(coefficients, found, strict=True)], axis=0)
        for name in found[0]
    }


def _estimate(value: float, drawn: Floats, *, n: int, sessions: int, is_share: bool) -> Estimate:
    if np.isnan(value):
        return Estimate(value=None, n=n)
    low, high = _quantiles(drawn, (0.5 - LEVEL / 2, 0.5 + LEVEL / 2))
    if low is None or high is None or sessions < 2:
        return Estimate(value=value, n=n)
    if is_share and low == high and value in (0.0, 1.0):
        # If every resample is all right (or all wrong), the bootstrap interval has no width, and a gate on the lower
        # bound would accept three right stops as proof. Wilson's interval over sessions has a width.
        low, high = wilson(value * sessions, sessions)
    return Estimate(value=value, low=low, high=high, n=n)


def _difference(value: float, drawn: Floats, *, sessions: int) -> Difference:
    tail = (1 - LEVEL) / 2
    if np.isnan(value):
        return Difference(value=None)
    low, one_sided_low, one_sided_high, high = _quantiles(drawn, (tail, 2 * tail, 1 - 2 * tail, 1 - tail))
    if low is None or sessions < 2:
        return Difference(value=value)
    defined = drawn[~np.isnan(drawn)]
    beyond = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return Difference(
        value=value,
        low=low,
        high=high,
        one_sided_low=one_sided_low,
        one_sided_high=one_sided_high,
        # Adding 1 prevents p = 0, which a finite number of draws cannot show.
        p_value=min(1.0, 2 * (beyond + 1) / (len(defined) + 1)),
    )


def _quantiles(drawn: Floats, at: tuple[float, ...]) -> tuple[float | None, ...]:
    undefined = np.isnan(drawn)
    if not drawn.size or undefined.mean() > _MAX_UNDEFINED:
        return (None,) * len(at)
    return tuple(float(bound) for bound in np.quantile(drawn[~undefined], at))
