"""E-processes for means: evidence that stays valid however often, and whenever, one looks at it.

An e-process is at most 1 on average under its null hypothesis at every stopping time, so it exceeds 1/α with
probability at most α, over all looks together (Ville 1939; Shafer 2021; Ramdas, Grünwald, Vovk and Shafer 2023). All
functions return the natural logarithm of the e-value. Each mixes over a fixed grid of alternatives, and a mixture of
e-processes is one. The e-values of counts do not depend on the order of the observations, so counts suffice to compute
them again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from learntoask.statistics.bootstrap import Floats

Side = Literal["greater", "less"]
"""Which side of the null value the alternative lies on."""
_ALTERNATIVES = 200
_BETS = 100
_LARGEST_BET = (
    0.95  # share of the stake that one observation may cost; a bet of all is ruined by one observation
)


def log_mean_exp(values: Floats) -> float:
    """Return log of the mean of exp(values), of shape [alternatives]."""
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).mean())) if math.isfinite(top) else top


def bernoulli_log_e(successes: int, trials: int, *, null: float, side: Side) -> float:
    """Return the evidence against "the chance of success is at most (`less`: at least) `null`".

    It is the likelihood ratio, mixed over evenly spaced chances on the other side (Wald 1945; Robbins 1970). Under
    the null hypothesis the chance may change from trial to trial. Raises ValueError for impossible counts.
    """
    if not 0 < null < 1 or not 0 <= successes <= trials:
        raise ValueError("0 < null < 1 and 0 ≤ successes ≤ trials must hold")
    if side == "less":
        return bernoulli_log_e(trials - successes, trials, null=1 - null, side="greater")
    chances = null + (1 - null) * (np.arange(_ALTERNATIVES) + 0.5) / _ALTERNATIVES
    failures = trials - successes
    return log_mean_exp(successes * np.log(chances / null) + failures * np.log((1 - chances) / (1 - null)))


def bounded_log_e(
    values: Floats, *, null: float, side: Side, bounds: tuple[float, float] = (0.0, 1.0)
) -> Floats:
    """Return the evidence after each of `values`, [observations], against "their mean is at most `null`".

    `less` reverses the hypothesis. It is the wealth of a gambler who bets a share of it on each observation, mixed
    over shares (Waudby-Smith and Ramdas 2024, section 4). Under the null hypothesis the observations need be neither
    independent nor alike. Raises ValueError for a value outside `bounds`.
    """
    scaled, mean = scaled_to_unit(values, null, bounds)
    if side == "less":
        scaled, mean = 1 - scaled, 1 - mean
    wealth = np.cumsum(np.log1p((scaled - mean)[:, None] * bets_above(mean)), axis=0)
    return np.array([log_mean_exp(row) for row in wealth])


def paired_log_e(gains: int, ties: int, losses: int, *, margin: float = 0.0) -> float:
    """Return the evidence against "the mean of the paired differences is at most −`margin`".

    A difference is +1 (gains), 0 (ties) or −1 (losses). With margin 0 it is the sign test on the pairs that differ;
    with a margin, a test of non-inferiority: evidence that losses exceed gains by less than this share of all pairs.
    Swap gains and losses for the opposite question. Raises ValueError for a negative margin or count.
    """
    if min(gains, ties, losses) < 0 or not 0 <= margin < 1:
        raise ValueError("counts must be at least 0 and the margin in 0…1")
    if margin == 0:
        return bernoulli_log_e(gains, gains + losses, null=0.5, side="greater")
    mean = (1 - margin) / 2
    bets = bets_above(mean)
    return log_mean_exp(
        gains * np.log1p((1 - mean) * bets)
        + ties * np.log1p((0.5 - mean) * bets)
        + losses * np.log1p(-mean * bets)
    )


def mean_interval(successes: int, trials: int, *, alpha: float) -> tuple[float, float]:
    """Return the confidence sequence of a chance at this time: it covers at all times together with 1 − `alpha`.

    It holds the chances that neither of the two one-sided e-processes rejects at α/2.
    """
    limit = math.log(2 / alpha)
    share = successes / trials if trials else 0.5
    low = _boundary(
        lambda null: bernoulli_log_e(successes, trials, null=null, side="greater"), limit, share, 0.0
    )
    high = _boundary(
        lambda null: bernoulli_log_e(successes, trials, null=null, side="less"), limit, share, 1.0
    )
    return low, high


def _boundary(log_e: Callable[[float], float], limit: float, inside: float, end: float) -> float:
    """Return the null value between `inside` and `end` at which the evidence reaches `limit`, by bisection."""
    near, far = min(max(inside, 1e-9), 1 - 1e-9), min(max(end, 1e-9), 1 - 1e-9)
    if log_e(far) < limit:
        return end
    for _ in range(50):
        middle = (near + far) / 2
        near, far = (near, middle) if log_e(middle) >= limit else (middle, far)
    return far


def scaled_to_unit(values: Floats, null: float, bounds: tuple[float, float]) -> tuple[Floats, float]:
    """Return `values` and `null` on the scale on which `bounds` are 0 and 1. Raises ValueError for values outside."""
    low, high = bounds
    if not low < null < high:
        raise ValueError(f"the null value {null} must lie between the bounds {low} and {high}")
    if values.size and (values.min() < low or values.max() > high):
        raise ValueError(f"values must lie between {low} and {high}")
    return (values - low) / (high - low), (null - low) / (high - low)


def bets_above(mean: float) -> Floats:
    """Return shares of the stake on values above `mean`, evenly spaced up to the largest."""
    bets: Floats = _LARGEST_BET / mean * (np.arange(_BETS) + 0.5) / _BETS
    return bets
