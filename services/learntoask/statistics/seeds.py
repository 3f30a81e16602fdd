"""Compare policies over several training runs that differ in their random seed, on the same sessions.

A difference varies for two reasons: other sessions would have been evaluated, and another seed would have trained
another policy. The error over sessions comes from resampling them, with all runs on a session drawn together; that
over seeds comes from the seeds' differences. Each has its half width by its own quantile of Student's t, and the
interval has the root of the sum of their squares (Howe 1974). Few seeds therefore give a wide interval, where
resampling three of them would give one that is too narrow. What seeds and sessions vary together is in both parts, so
that the interval is a little too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from learntoask.core.intervals import LEVEL
from learntoask.core.records import Record
from learntoask.statistics.bootstrap import Floats, Metrics, resampled_sums
from learntoask.statistics.student import student_quantile


class SeedMean(Record):
    """The mean of a figure over runs with different seeds, and its standard deviation between them (None for one)."""

    value: float
    spread: float | None


class SeedDifference(Record):
    """The mean difference after − before over `seeds` seeds, with its standard deviation between them.

    `low` and `high` bound the two-sided 95 % interval over sessions and seeds, and `one_sided_low` is the one-sided
    bound. They are None for fewer than two seeds or two sessions.
    """

    value: float
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    one_sided_low: float | None = None
    seeds: int
    sessions: int

    @property
    def significant(self) -> bool:
        """Whether the two-sided interval excludes 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def seed_mean(values: Sequence[float]) -> SeedMean:
    """Return mean and standard deviation of the figures of one or more runs."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return SeedMean(value=float(np.mean(values)), spread=spread)


def seed_differences(
    before: Sequence[Floats], after: Sequence[Floats], metrics: Metrics, *, resamples: int, seed: int
) -> dict[str, SeedDifference]:
    """Return the mean difference after − before of each metric that is defined in every run.

    `before` and `after` hold one array of sums (sessions, columns) for each seed, for the same sessions in the same
    order; `seed` is that of the resampling.
    """
    seeds, sessions = len(before), len(before[0])
    width = before[0].shape[1]
    together = np.hstack([*before, *after])
    drawn = resampled_sums(together, resamples=resamples, seed=seed)
    points = _differences(together.sum(axis=0).reshape(2, seeds, width), metrics)
    resampled = _differences(drawn.reshape(len(drawn), 2, seeds, width).transpose(1, 2, 0, 3), metrics)
    return {
        name: _difference(differences, resampled[name].mean(axis=0), sessions=sessions)
        for name, differences in points.items()
        if not np.isnan(differences).any()
    }


def _differences(sums: Floats, metrics: Metrics) -> dict[str, Floats]:
    """Return after − before by metric: (2, seeds, …, columns) → (seeds, …)."""
    first, second = metrics.values(sums[0]), metrics.values(sums[1])
    return {name: second[name] - first[name] for name in first}


def _difference(differences: Floats, resampled: Floats, *, sessions: int) -> SeedDifference:
    mean, seeds = seed_mean([*differences]), len(differences)
    defined = resampled[~np.isnan(resampled)]
    if mean.spread is None or sessions < 2 or len(defined) < 2:
        return SeedDifference(value=mean.value, spread=mean.spread, seeds=seeds, sessions=sessions)
    errors = (float(np.std(defined, ddof=1)), sessions - 1), (mean.spread / seeds**0.5, seeds - 1)

    def half_width(probability: float) -> float:
        return math.hypot(*(student_quantile(probability, freedom) * error for error, freedom in errors))

    two_sided = half_width((1 + LEVEL) / 2)
    return SeedDifference(
        value=mean.value,
        spread=mean.spread,
        low=mean.value - two_sided,
        high=mean.value + two_sided,
        one_sided_low=mean.value - half_width(LEVEL),
        seeds=seeds,
        sessions=sessions,
    )
