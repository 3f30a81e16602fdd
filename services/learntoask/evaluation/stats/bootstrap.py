"""Confidence intervals by resampling whole sessions, because the turns of one session stand or fall together.

Resampling acts on sums per session, so one matrix product serves all metrics and all policies at once, and the
difference of policies on the same sessions is paired by construction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learntoask.core.intervals import LEVEL, wilson
from learntoask.core.records import Record
from learntoask.evaluation.stats.metrics import COLUMNS, IN_UNIT_RANGE, Floats, denominators, metric_values

_CELLS_AT_ONCE = 4_000_000  # resamples × sessions held at a time: 32 MB
_MOST_UNDEFINED = 0.05  # an interval from fewer resamples than the rest of these would be a guess


class Estimate(Record):
    """A metric with its 95 % interval; `value` is None where `n`, the completions it is a mean over, is 0.

    The interval is None where it cannot be had: one session, or a metric that most resamples leave undefined.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Difference(Record):
    """`value` = after − before, with the two-sided 95 % interval, both one-sided 95 % bounds and a p-value."""

    value: float | None
    low: float | None = None
    high: float | None = None
    one_sided_low: float | None = None
    one_sided_high: float | None = None
    p_value: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the two-sided 95 % interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def resampled_sums(sums: Floats, *, resamples: int, seed: int) -> Floats:
    """Column totals of `resamples` draws of sessions with replacement: (sessions, k) → (resamples, k).

    The draws depend on the number of sessions, `resamples` and `seed` alone, never on the columns.
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


def estimates(sums: Floats, *, resamples: int, seed: int) -> dict[str, Estimate]:
    """Every metric of the sums (sessions, columns) of one policy."""
    total = sums.sum(axis=0)
    point, counts = metric_values(total), denominators(total)
    drawn = metric_values(resampled_sums(sums, resamples=resamples, seed=seed))
    sessions = {name: int((below > 0).sum()) for name, below in denominators(sums).items()}
    return {
        name: _estimate(
            float(point[name]),
            drawn[name],
            n=round(float(counts[name])),
            sessions=sessions[name],
            is_share=name in IN_UNIT_RANGE,
        )
        for name in point
    }


def mean_estimates(
    columns: dict[str, tuple[Floats, Floats]], *, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Ratios of sums with intervals; each column is (numerators, denominators) per session, both (sessions,)."""
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
    strata: Sequence[Sequence[Floats]], coefficients: Sequence[float], *, resamples: int, seed: int
) -> dict[str, Difference]:
    """For every metric Σ coefficient · value over the runs, e.g. (−1, +1) for after − before.

    A stratum holds, per run, the sums (sessions, columns) of the same sessions in the same order: they are drawn
    together, so the runs are paired. A run that did not see the stratum's sessions has no rows there, (0, columns).
    """
    width = len(COLUMNS)
    points = [np.zeros(width) for _ in coefficients]
    drawn = [np.zeros((resamples, width)) for _ in coefficients]
    for index, stratum in enumerate(strata):
        there = [run for run, sums in enumerate(stratum) if len(sums)]
        if not there:
            continue
        together = resampled_sums(
            np.hstack([stratum[run] for run in there]), resamples=resamples, seed=seed + index
        )
        for place, run in enumerate(there):
            points[run] += stratum[run].sum(axis=0)
            drawn[run] += together[:, place * width : (place + 1) * width]
    sessions = sum(max(map(len, stratum)) for stratum in strata)
    value, resampled = _combined(points, coefficients), _combined(drawn, coefficients)
    return {name: _difference(float(value[name]), resampled[name], sessions=sessions) for name in value}


def _combined(sums: Sequence[Floats], coefficients: Sequence[float]) -> dict[str, Floats]:
    found = [metric_values(of_run) for of_run in sums]
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
        # All right (or all wrong) in every resample: the bootstrap would claim certainty, and a gate on the
        # lower bound would let three right stops pass as proof. Wilson's interval over sessions does not.
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
        # One is added so that no finite number of draws claims p = 0.
        p_value=min(1.0, 2 * (beyond + 1) / (len(defined) + 1)),
    )


def _quantiles(drawn: Floats, at: tuple[float, ...]) -> tuple[float | None, ...]:
    undefined = np.isnan(drawn)
    if not drawn.size or undefined.mean() > _MOST_UNDEFINED:
        return (None,) * len(at)
    return tuple(float(bound) for bound in np.quantile(drawn[~undefined], at))
