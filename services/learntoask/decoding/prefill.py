"""What of new trunks must be read, and in which order: a trunk that begins like another goes on from that one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learntoask.decoding.branch import Trunk

PREFILL_TOKENS = 4096
"""Trunk tokens computed in one forward pass; bounds the memory of activations."""
MIN_SHARED = 32
"""Common beginnings shorter than this are computed again: cheaper than another attention call a layer."""


@dataclass(frozen=True, eq=False)
class PrefillPlan:
    """The first `shared` tokens of `trunk` are taken over from `source`, the others computed."""

    trunk: Trunk
    source: Trunk | None
    shared: int


def plan_prefill(trunks: Sequence[Trunk], at_hand: Sequence[Trunk]) -> Iterator[list[PrefillPlan]]:
    """Batches in which to read `trunks`: first those that need nothing still unread, then those that begin like one
    of the first."""
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
    return np.array_equal(trunk.tokens[: len(tokens)], tokens)


def _longest_shared(trunk: Trunk, sources: Sequence[Trunk]) -> PrefillPlan:
    """The source that begins most like `trunk`. The token at each attach point is computed even where it is shared,
    for the logits there are needed."""
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
    """Cut `wave` where its new tokens pass PREFILL_TOKENS (a longer trunk goes alone)."""
    batch: list[PrefillPlan] = []
    used = 0
    for reading in wave:
        new = len(reading.trunk.tokens) - reading.shared
        if batch and used + new > PREFILL_TOKENS:
            yield batch
            batch, used = [], 0
        batch.append(reading)
        used += new
    if batch:
        yield batch
