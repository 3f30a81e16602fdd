"""The block-sparse mask of a micro-batch for FlexAttention, from the three integers of each token.

`create_block_mask` evaluates the mask for every pair of tokens, which are 10⁹ for 32,000 tokens. A token sees two
intervals, so the blocks follow from the ends of these intervals alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from learntoask.training.tree.layout import Integers, MicroBatch

BLOCK = 128


def block_mask(packed: MicroBatch, device: torch.device, *, block: int = BLOCK) -> BlockMask:
    """Return the mask in blocks of `block` tokens. Blocks that all queries of a block see whole need no mask inside."""
    seen, whole = _blocks(packed, block)
    return BlockMask.from_kv_blocks(
        *_listed(seen & ~whole, device),
        *_listed(whole, device),
        BLOCK_SIZE=block,
        mask_mod=block_predicate(packed, device),
        seq_lengths=(len(packed.tokens), len(packed.tokens)),
    )


def block_predicate(
    packed: MicroBatch, device: torch.device
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return `MicroBatch.sees` as a mask function of FlexAttention."""
    trunk_start = torch.from_numpy(packed.trunk_start).to(device)
    trunk_limit = torch.from_numpy(packed.trunk_limit).to(device)
    branch_start = torch.from_numpy(packed.branch_start).to(device)

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        in_trunk = (trunk_start[query] <= key) & (key < trunk_limit[query])
        return in_trunk | ((branch_start[query] <= key) & (key <= query))

    return sees


def _blocks(packed: MicroBatch, block: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two arrays [query blocks, key blocks]: some query sees some key; all queries see all keys.

    "All" is true only if each query sees the whole key block in one of its two intervals.
    """
    tokens = np.arange(len(packed.tokens))
    intervals = ((packed.trunk_start, packed.trunk_limit), (packed.branch_start, tokens + 1))
    touched = sum(_counts(tokens // block, start // block, -(-stop // block)) for start, stop in intervals)
    covered = sum(_counts(tokens // block, -(-start // block), stop // block) for start, stop in intervals)
    return touched > 0, covered == block


def _counts(query: Integers, first: Integers, end: Integers) -> Integers:
    """Count the tokens of each query block for which a key block lies in `first:end`: [query blocks, key blocks]."""
    size = int(query[-1]) + 1
    steps = np.zeros((size, size + 1), dtype=np.int64)
    some = first < end
    np.add.at(steps, (query[some], first[some]), 1)
    np.add.at(steps, (query[some], end[some]), -1)
    return steps.cumsum(axis=1)[:, :size]


def _listed(chosen: NDArray[np.bool_], device: torch.device) -> tuple[Tensor, Tensor]:
    """Number [1, 1, blocks] and indices [1, 1, blocks, blocks] of the chosen key blocks, the chosen ones first."""
    order = np.argsort(~chosen, axis=1, kind="stable")
    count, order = (torch.from_numpy(part.astype(np.int32)) for part in (chosen.sum(axis=1), order))
    return count[None, None].to(device), order[None, None].to(device)
