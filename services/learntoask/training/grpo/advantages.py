"""Group-normalised advantages (docs/method.md)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

_EPSILON = 1e-4  # as in TRL, so that losses can be compared


def group_advantages(rewards: Sequence[float | None]) -> list[float | None]:
    """(r − mean) / (std + 1e-4) over the rewards that are not missing; None for a missing one.

    Fewer than two rewards say nothing about each other: all are None and the group is skipped. The deviation is the
    sample's (n − 1), as in TRL.
    """
    known = [reward for reward in rewards if reward is not None]
    if len(known) < 2:
        return [None] * len(rewards)
    mean, deviation = fmean(known), stdev(known)
    return [None if reward is None else (reward - mean) / (deviation + _EPSILON) for reward in rewards]
