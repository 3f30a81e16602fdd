"""The block-sparse mask of a packed row for FlexAttention, straight from the row's three integers a token.

`create_block_mask` evaluates the mask for every pair of tokens: 32,000 tokens would take 10⁹ of them. What a token
sees are two intervals, so the blocks follow from interval ends alone.
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


def block_mask(row: MicroBatch, device: torch.device, *, block: int = BLOCK) -> BlockMask:
    """Blocks of `block` tokens: those that all of a block's queries see whole need no mask inside."""
    seen, whole = _blocks(row, block)
    return BlockMask.from_kv_blocks(
        *_listed(seen & ~whole, device),
        *_listed(whole, device),
        BLOCK_SIZE=block,
        mask_mod=block_predicate(row, device),
        seq_lengths=(len(row.tokens), len(row.tokens)),
    )


def block_predicate(
    row: MicroBatch, device: torch.device
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """`PackedRow.sees` as a FlexAttention mask function."""
    trunk_start = torch.from_numpy(row.trunk_start).to(device)
    trunk_limit = torch.from_numpy(row.trunk_limit).to(device)
    branch_start = torch.from_numpy(row.branch_start).to(device)

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        in_trunk = (trunk_start[query] <= key) & (key < trunk_limit[query])
        return in_trunk | ((branch_start[query] <= key) & (key <= query))

    return sees


def _blocks(row: MicroBatch, block: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(some query of the block sees some key of the other; all see all, in one of their two intervals): [blocks,
    blocks] each."""
    tokens = np.arange(len(row.tokens))
    intervals = ((row.trunk_start, row.trunk_limit), (row.branch_start, tokens + 1))
    touched = sum(_counts(tokens // block, start // block, -(-stop // block)) for start, stop in intervals)
    covered = sum(_counts(tokens // block, -(-start // block), stop // block) for start, stop in intervals)
    return touched > 0, covered == block


def _counts(query: Integers, first: Integers, end: Integers) -> Integers:
    """How many tokens of each block of queries hold each key block in `first:end`: [blocks, blocks]."""
    size = int(query[-1]) + 1
    steps = np.zeros((size, size + 1), dtype=np.int64)
    some = first < end
    np.add.at(steps, (query[some], first[some]), 1)
    np.add.at(steps, (query[some], end[some]), -1)
    return steps.cumsum(axis=1)[:, :size]


def _listed(chosen: NDArray[np.bool_], device: torch.device) -> tuple[Tensor, Tensor]:
    """Number [1, 1, blocks] and indices [1, 1, blocks, blocks] of the chosen key blocks, those first."""
    order = np.argsort(~chosen, axis=1, kind="stable")
    count, order = (torch.from_numpy(part.astype(np.int32)) for part in (chosen.sum(axis=1), order))
    return count[None, None].to(device), order[None, None].to(device)
