"""Means of a population from a sample in which each item was drawn with a known probability π."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from learntoask.core.intervals import LEVEL
from learntoask.statistics.bootstrap import Floats
from learntoask.statistics.clusters import totals_by_cluster


@dataclass(frozen=True, kw_only=True)
class MeanEstimate:
    """A mean with its standard error, which is NaN if the sample does not determine it, and its number of items."""

    value: float
    standard_error: float
    n: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the two-sided normal interval at `level`."""
        half = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error
        return self.value - half, self.value + half


@dataclass(frozen=True)
class Design:
    """How items were drawn, one entry per item: the session that it is from, its stratum, and its probability π."""

    sessions: tuple[str, ...]
    strata: tuple[str, ...]
    inclusion: Floats


def inverse_weights(inclusion: Floats) -> Floats:
    """Return 1/π of each item. Raises ValueError unless every π is in (0, 1]."""
    if not np.all((inclusion > 0) & (inclusion <= 1)):
        raise ValueError("every probability of inclusion must be above 0 and at most 1")
    weights: Floats = 1 / inclusion
    return weights


def horvitz_thompson(
    values: Floats, inclusion: Floats, strata: Sequence[str], *, population: int
) -> MeanEstimate:
    """Estimate the mean of a population of known size (Horvitz and Thompson 1952), drawn within strata.

    `values`, `inclusion` and `strata` have one entry per drawn item. Unbiased; the mean of values that are all 1 need
    not be 1, so prefer `hajek` for shares.
    """
    weights = inverse_weights(inclusion)
    value = float((values * weights).sum() / population)
    variance = _stratified_variance(values, inclusion, strata) / population**2
    return MeanEstimate(value=value, standard_error=math.sqrt(variance), n=len(values))


def hajek(values: Floats, inclusion: Floats, strata: Sequence[str]) -> MeanEstimate:
    """Estimate the mean as a ratio of weighted sums (Hájek 1971); the variance is that of the linearised ratio."""
    weights = inverse_weights(inclusion)
    size = float(weights.sum())
    value = float((values * weights).sum() / size)
    variance = _stratified_variance(values - value, inclusion, strata) / size**2
    return MeanEstimate(value=value, standard_error=math.sqrt(variance), n=len(values))


def _stratified_variance(values: Floats, inclusion: Floats, strata: Sequence[str]) -> float:
    """Return the variance of Σ value/π over items drawn without replacement within strata (Cochran 1977, 5A.13).

    Within a stratum π may differ; then the formula for draws with replacement is used, which is conservative. NaN if a
    stratum that was not drawn whole holds one item.
    """
    names = np.array(strata)
    total = 0.0
    for name in dict.fromkeys(strata):
        own = names == name
        pi, drawn = inclusion[own], int(own.sum())
        expanded = values[own] / pi
        if np.all(pi == 1):
            continue
        if drawn < 2:
            return np.nan
        left = 1 - float(pi[0]) if np.ptp(pi) == 0 else 1.0
        total += left * drawn / (drawn - 1) * float(((expanded - expanded.mean()) ** 2).sum())
    return total


def variance_of_total(values: Floats, design: Design) -> float:
    """Return the variance of Σ values over items drawn within strata, from conversations that are a sample themselves.

    `values` [items] are weighted by 1/π already, and their sum is near 0, as are the contributions to a linearised
    statistic. The variance has two parts (double sampling; Neyman 1938). Within the strata, what differs from the
    stratum's mean is summed by session, as items of one session are not independent. Between them, the logs are counted
    as one draw of conversations: the square of each stratum's total over the size of the stratum, Σ 1/π.
    """
    names = np.array(design.strata)
    weights = inverse_weights(design.inclusion)
    within, between = np.zeros(len(values)), 0.0
    for name in dict.fromkeys(design.strata):
        own = names == name
        drawn = len({session for session, kept in zip(design.sessions, own, strict=True) if kept})
        between += float(values[own].sum()) ** 2 / float(weights[own].sum())
        # A stratum with items of one session does not show how they differ.
        scale = math.sqrt(drawn / (drawn - 1)) if drawn > 1 else 1.0
        within[own] = scale * (values[own] - (values[own].mean() if drawn > 1 else 0.0))
    return float((totals_by_cluster(within, design.sessions) ** 2).sum()) + between
