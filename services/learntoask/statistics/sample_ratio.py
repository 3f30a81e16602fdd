"""Check that the arms of an experiment received the shares that they were assigned."""

from __future__ import annotations

import math
from collections.abc import Sequence

_CONCENTRATION = 100.0


def sample_ratio_log_e(
    counts: Sequence[int], shares: Sequence[float], *, concentration: float = _CONCENTRATION
) -> float:
    """Return the log evidence against "every unit goes to arm i with probability `shares[i]`".

    The anytime-valid multinomial test of Lindon and Malek (2022): the Bayes factor of a Dirichlet prior with mean
    `shares` against the shares themselves. A greater `concentration` (in units) looks for smaller deviations. Add the
    values of steps with other shares. Raises ValueError unless the shares are positive and sum to 1.
    """
    if len(counts) != len(shares) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(
            "there must be as many counts as shares, and the shares must be positive and sum to 1"
        )
    found = math.lgamma(concentration) - math.lgamma(concentration + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        prior = concentration * share
        found += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return found
