"""Plan the prefill of new trunks: a trunk that begins like another one continues from that one's keys and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learntoask.decoding.branch import Trunk

PREFILL_TOKENS = 4096
"""Trunk tokens computed in one forward pass, which bounds the memory of activations."""
MIN_SHARED = 32
"""Shorter common beginnings are computed again, which costs less than another attention call in every layer."""


@dataclass(frozen=True, eq=False)
class PrefillPlan:
    """How to prefill one trunk: its first `shared` tokens are copied from `source`, the others are computed."""

    trunk: Trunk
    source: Trunk | None
    shared: int


def plan_prefill(trunks: Sequence[Trunk], at_hand: Sequence[Trunk]) -> Iterator[list[PrefillPlan]]:
    """Yield batches of at most PREFILL_TOKENS new tokens that prefill `trunks`.

    `at_hand` are trunks already in the cache. Trunks that gain by continuing from another new trunk come after it.
    """
    leaders: list[PrefillPlan] = []
    followers: list[PrefillPlan] = []
    for trunk in trunks:
        found = _longest_shared(trunk, at_hand)
        ahead = _longest_shared(trunk, [leader.trunk for leader in leaders])
        if ahead.shared >= found.shared + MIN_SHARED:
            followers.append(ahead)
        else:
            leaders.append(found)
    yield from _batches(leaders)
    yield from _batches(followers)


def begins_with(trunk: Trunk, tokens: NDArray[np.int64]) -> bool:
    """Return whether `tokens` are the first ones of `trunk`."""
    return np.array_equal(trunk.tokens[: len(tokens)], tokens)


def _longest_shared(trunk: Trunk, sources: Sequence[Trunk]) -> PrefillPlan:
    """The plan with the source that shares most tokens with `trunk`.

    The last token before each attach point is computed even if it is shared, because its logits are needed.
    """
    limit = min(branch.attach for branch in trunk.branches) - 1
    best = PrefillPlan(trunk, None, 0)
    for source in sources:
        size = min(limit, len(source.tokens))
        different = np.flatnonzero(trunk.tokens[:size] != source.tokens[:size])
        shared = int(different[0]) if len(different) else size
        if shared >= MIN_SHARED and shared > best.shared:
            best = PrefillPlan(trunk, source, shared)
    return best


def _batches(wave: Sequence[PrefillPlan]) -> Iterator[list[PrefillPlan]]:
    """Cut `wave` into batches of at most PREFILL_TOKENS new tokens (a longer trunk is a batch by itself)."""
    batch: list[PrefillPlan] = []
    used = 0
    for plan in wave:
        new = len(plan.trunk.tokens) - plan.shared
        if batch and used + new > PREFILL_TOKENS:
            yield batch
            batch, used = [], 0
        batch.append(plan)
        used += new
    if batch:
        yield batch
