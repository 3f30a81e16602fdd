"""Cohen's κ of two judges, with intervals for items that were drawn within strata and are clustered by session."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from learntoask.core.intervals import LEVEL
from learntoask.statistics.bootstrap import Floats, resampled_sums
from learntoask.statistics.inclusion import Design, variance_of_total
from learntoask.statistics.student import student_quantile

_PSEUDO_DISAGREEMENTS = 0.5
_POWER = 2 / 3
_LARGEST = 1_000_000  # items; a gate that needs more cannot be passed by asking


def kappa(tables: Floats) -> Floats:
    """Return Cohen's κ (Cohen 1960), [...], of tables of counts or weights [..., k, k].

    `tables[..., i, j]` counts the items that the first judge puts into category i and the second into j. κ is 1 if the
    judges never differ, even if all items are of one category or there is none.
    """
    total = tables.sum(axis=(-2, -1))
    empty = total <= 0
    total = np.where(empty, 1, total)
    observed = np.trace(tables, axis1=-2, axis2=-1) / total
    chance = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / total**2
    defined = (chance < 1) & ~empty
    found: Floats = np.where(defined, (observed - chance) / np.where(defined, 1 - chance, 1), 1.0)
    return found


@dataclass(frozen=True, kw_only=True)
class KappaEstimate:
    """κ with its standard error, which is clustered by session. `sessions` are those with at least one item.

    `smoothed` and `smoothed_error` are the same after half a disagreement is added, so that a sample without any
    disagreement is no proof that there are none. Bounds are computed from them.
    """

    value: float
    standard_error: float
    smoothed: float
    smoothed_error: float
    sessions: int

    def lower_bound(self, confidence: float) -> float:
        """Return the one-sided lower bound at `confidence`.

        It is symmetric for (1 − κ)^⅔, because 1 − κ is a count of disagreements over the count expected by chance, and
        the power ⅔ makes a Poisson count symmetric (Anscombe 1953). A bound that is symmetric for κ itself is too high
        too often, because a sample with few disagreements has a high κ and a small error at once.
        """
        return self._bound(confidence)

    def upper_bound(self, confidence: float) -> float:
        """Return the one-sided upper bound at `confidence`."""
        return self._bound(1 - confidence)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the two-sided interval at `level`."""
        return self.lower_bound((1 + level) / 2), self.upper_bound((1 + level) / 2)

    def _bound(self, confidence: float) -> float:
        if self.sessions < 2:
            return -1.0 if confidence > 0.5 else 1.0
        ratio = 1 - self.smoothed
        t = student_quantile(confidence, self.sessions - 1)
        moved = ratio**_POWER + t * _POWER * ratio ** (_POWER - 1) * self.smoothed_error
        return max(-1.0, 1 - float(max(moved, 0.0) ** (1 / _POWER)))


def kappa_estimate(tables: Floats, design: Design | None = None) -> KappaEstimate:
    """Estimate κ from the tables of all items, [items, k, k], by the delta method.

    Items count with weights proportional to 1/π, scaled to a mean of 1, which is the weight of the half disagreement
    that is added. The variance is that of the linearised κ (Fleiss, Cohen and Everitt 1969). `design` says how the
    items were drawn; without it each table stands for a session, and all were drawn from one stratum. Raises ValueError
    for tables without any item.
    """
    total = tables.sum(axis=0)
    if total.sum() <= 0:
        raise ValueError("κ of no items is undefined")
    present = tables.sum(axis=(1, 2)) > 0
    design = _present(design, present)
    smoothed = _with_disagreements(total, _PSEUDO_DISAGREEMENTS)
    sessions = len(set(design.sessions)) if design else int(present.sum())
    return KappaEstimate(
        value=float(kappa(total)),
        standard_error=math.sqrt(_variance(tables[present], total, sessions, design)),
        smoothed=float(kappa(smoothed)),
        smoothed_error=math.sqrt(_variance(tables[present], smoothed, sessions, design)),
        sessions=sessions,
    )


def _present(design: Design | None, present: NDArray[np.bool_]) -> Design | None:
    if design is None:
        return None
    kept = np.nonzero(present)[0]
    return Design(
        tuple(design.sessions[place] for place in kept),
        tuple(design.strata[place] for place in kept),
        design.inclusion[kept],
    )


def _with_disagreements(total: Floats, weight: float) -> Floats:
    """Add `weight` to the cells off the diagonal, in proportion to chance, or evenly if chance gives them none."""
    chance = np.outer(total.sum(axis=1), total.sum(axis=0)) * (1 - np.eye(len(total)))
    if chance.sum() <= 0:
        chance = 1 - np.eye(len(total))
    found: Floats = total + weight * chance / chance.sum()
    return found


def _variance(tables: Floats, total: Floats, sessions: int, design: Design | None) -> float:
    """Return the variance of κ from its gradient at `total`; κ does not change with the scale of the table.

    What `total` holds beyond the tables is one item of its own.
    """
    if sessions < 2:
        return 0.0
    size = total.sum()
    share = total / size
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    chance = float(rows @ columns)
    if chance >= 1:
        return 0.0
    observed = float(np.trace(share))
    of_observed = np.eye(len(share)) - observed
    of_chance = columns[:, None] + rows[None, :] - 2 * chance
    gradient = (of_observed * (1 - chance) - of_chance * (1 - observed)) / (1 - chance) ** 2 / size
    moved = (tables * gradient).sum(axis=(1, 2))
    added = float(((total - tables.sum(axis=0)) * gradient).sum()) ** 2
    if design is not None:
        return variance_of_total(moved, design) + added
    return float(sessions / (sessions - 1) * (moved**2).sum()) + added


def bootstrap_interval(
    tables: Floats, *, resamples: int, seed: int, level: float = LEVEL
) -> tuple[float, float]:
    """Return the percentile interval of κ over draws of sessions with replacement, of tables [sessions, k, k]."""
    sessions, categories, _ = tables.shape
    sums = resampled_sums(tables.reshape(sessions, -1), resamples=resamples, seed=seed)
    drawn = kappa(sums.reshape(-1, categories, categories))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def required_items(
    estimate: KappaEstimate, *, items: int, bound: float, confidence: float, power: float = 0.8
) -> int | None:
    """Return how many more items make the lower bound exceed `bound` with probability `power`.

    The estimate came from `items` items, and is taken for the truth; its error falls with the root of their number.
    Returns None if κ is not above `bound`, or if more than a million items would be needed.
    """
    if estimate.lower_bound(confidence) > bound:
        return 0
    ratio = 1 - estimate.smoothed
    if ratio >= 1 - bound:
        return None
    normal = NormalDist()
    error = _POWER * ratio ** (_POWER - 1) * estimate.smoothed_error * math.sqrt(items)  # of one item
    distance = (1 - bound) ** _POWER - ratio**_POWER
    needed = ((normal.inv_cdf(confidence) + normal.inv_cdf(power)) * error / distance) ** 2
    return None if needed > _LARGEST else max(1, math.ceil(needed) - items)
