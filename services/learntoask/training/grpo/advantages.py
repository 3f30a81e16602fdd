"""Group-normalised advantages (docs/method.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Preference:
    """Indices of two completions of one context; `share` of its context's preferences."""

    better: int
    worse: int
    share: float


def preferences(
    *, contexts: Sequence[int], rewards: Sequence[float], counts: Sequence[int]
) -> list[Preference]:
    """All pairs of completions of one context whose rewards differ.

    `contexts`, `rewards` and `counts` (how often a completion was sampled; 0: not at all) are one a completion. The
    shares of a context add up to 1, so that a context counts the same however many of its pairs differ.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, context in enumerate(contexts):
        if counts[index]:
            members[context].append(index)
    found = []
    for group in members.values():
        pairs = [(a, b, counts[a] * counts[b]) for a in group for b in group if rewards[a] > rewards[b]]
        total = sum(count for _, _, count in pairs)
        found += [Preference(better, worse, count / total) for better, worse, count in pairs]
    return found
