"""Which of two answers to one context is the better one, from their rewards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


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
