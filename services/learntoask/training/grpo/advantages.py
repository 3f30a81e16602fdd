"""Comparisons of sampled answers by their rewards: advantages within a group (GRPO) and preferences (DPO)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

_EPSILON = 1e-4  # as in TRL, so that losses can be compared


def group_advantages(rewards: Sequence[float | None]) -> list[float | None]:
    """Return (r − mean) / (std + 1e-4) of each reward, over the rewards that are not missing (docs/method.md).

    A missing reward has advantage None. With fewer than two rewards there is nothing to compare: all are None and the
    group is skipped. The deviation is that of a sample (n − 1), as in TRL.
    """
    known = [reward for reward in rewards if reward is not None]
    if len(known) < 2:
        return [None] * len(rewards)
    mean, deviation = fmean(known), stdev(known)
    return [None if reward is None else (reward - mean) / (deviation + _EPSILON) for reward in rewards]


@dataclass(frozen=True)
class Preference:
    """A pair of completions of one context, by index; `share` is its part of the context's preferences."""

    better: int
    worse: int
    share: float

    def shifted(self, offset: int) -> Preference:
        """Return the pair with `offset` added to both indices."""
        return Preference(self.better + offset, self.worse + offset, self.share)


def preferences(
    *, contexts: Sequence[int], rewards: Sequence[float], counts: Sequence[int]
) -> list[Preference]:
    """Return all pairs of completions of one context whose rewards differ.

    `contexts`, `rewards` and `counts` (how often it was sampled, possibly 0) have one value for each completion. The
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
