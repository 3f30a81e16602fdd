"""Attention over packed session trees, plugged into transformers' attention interface.

On a CPU: causal attention over every trunk, and for each group of branches exact attention over [trunk prefix; the
group], so there is no n×n mask and autograd sees ordinary attention calls. (Not by merging two attentions through the
log-sum-exp: the one the CPU kernel returns carries no gradient. Not by FlexAttention: it has no CPU backward.)
On a GPU: FlexAttention with a block mask from the same three integers a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from learntoask.core.errors import InputError
from learntoask.training.architecture import check_architecture
from learntoask.training.tree import BranchGroup, PackedRow, TrunkSpan

NAME = "session_tree"


@dataclass(frozen=True)
class TreeMask:
    """What the layers need of a row, made once and used by all of them."""

    spans: tuple[TrunkSpan, ...]
    group_masks: tuple[Tensor, ...]
    block_mask: BlockMask | None = None


def tree_mask(row: PackedRow, *, device: torch.device, dtype: torch.dtype) -> TreeMask:
    if device.type == "cpu":
        groups = (group for span in row.spans for group in span.groups)
        return TreeMask(row.spans, tuple(group_mask(group, dtype) for group in groups))
    return TreeMask(row.spans, (), _block_mask(row, device))


def group_mask(group: BranchGroup, dtype: torch.dtype) -> Tensor:
    """Additive mask [s, prefix + s] of one group of s tokens: all of the prefix, own branch so far."""
    size = group.stop - group.start
    branch = torch.repeat_interleave(torch.arange(len(group.lengths)), torch.tensor(group.lengths))
    own = (branch[:, None] == branch[None, :]).tril()
    mask = torch.zeros(size, group.prefix + size, dtype=dtype)
    mask[:, group.prefix :].masked_fill_(~own, float("-inf"))
    return mask


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree: TreeMask | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of a layer: query [1, heads, n, d], key and value [1, kv heads, n, d] → ([1, n, heads, d], None).

    Without `tree` it is transformers' own SDPA, so one model serves sampling and updates alike.
    """
    if tree is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if tree.block_mask is not None:
        out = _flex(query, key, value, tree.block_mask, scaling)
    else:
        out = _by_spans(query, key, value, tree, scaling)
    return out.transpose(1, 2).contiguous(), None


def _by_spans(query: Tensor, key: Tensor, value: Tensor, tree: TreeMask, scale: float | None) -> Tensor:
    # Cut once, not sliced again and again: the gradient of a slice is a row of zeros around it, that of a cut is one
    # concatenation.
    heads_per_kv = query.shape[1] // key.shape[1]
    masks = iter(tree.group_masks)
    queries = iter(query.split(_lengths(tree.spans), dim=2))
    cuts = _cuts(tree.spans)
    keys, values = iter(key.split(cuts, dim=2)), iter(value.split(cuts, dim=2))
    parts = []
    for span in tree.spans:
        ends = _ends(span)
        trunk_keys, trunk_values = [next(keys) for _ in ends], [next(values) for _ in ends]
        parts.append(
            scaled_dot_product_attention(
                next(queries),
                repeat_kv(torch.cat(trunk_keys, dim=2), heads_per_kv),
                repeat_kv(torch.cat(trunk_values, dim=2), heads_per_kv),
                is_causal=True,
                scale=scale,
            )
        )
        for group in span.groups:
            seen = ends.index(group.prefix) + 1
            parts.append(
                _grouped(
                    next(queries),
                    torch.cat([*trunk_keys[:seen], next(keys)], dim=2),
                    torch.cat([*trunk_values[:seen], next(values)], dim=2),
                    next(masks),
                    scale,
                )
            )
    return torch.cat(parts, dim=2)


def _ends(span: TrunkSpan) -> list[int]:
    """Where the trunk is cut: wherever a context ends, and at its own end."""
    return sorted({*(group.prefix for group in span.groups), span.stop - span.start})


def _lengths(spans: Sequence[TrunkSpan]) -> list[int]:
    """Of the trunks and branch groups of a row, in its order."""
    return [part.stop - part.start for span in spans for part in (span, *span.groups)]


def _cuts(spans: Sequence[TrunkSpan]) -> list[int]:
    """Lengths of what keys and values are cut into: the pieces of each trunk, then its branch groups."""
    cuts: list[int] = []
    for span in spans:
        cuts += [end - start for start, end in pairwise([0, *_ends(span)])]
        cuts += [group.stop - group.start for group in span.groups]
    return cuts


def _grouped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None) -> Tensor:
    """Masked attention whose query heads of one key/value head are folded into the length, so that keys and values
    are not copied per head: query [1, h, s, d], key and value [1, h_kv, k, d], mask [s, k] → [1, h, s, d]."""
    one, heads, size, width = query.shape
    fold = heads // key.shape[1]
    folded = query.reshape(one, key.shape[1], fold * size, width)
    out = scaled_dot_product_attention(
        folded, key, value, attn_mask=mask.repeat(fold, 1)[None, None], scale=scale
    )
    return out.reshape(one, heads, size, width)


def _block_mask(row: PackedRow, device: torch.device) -> BlockMask:
    size = len(row.tokens)
    return create_block_mask(
        block_predicate(row, device), B=None, H=None, Q_LEN=size, KV_LEN=size, device=device
    )


def block_predicate(
    row: PackedRow, device: torch.device
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """`PackedRow.sees` as a FlexAttention mask function."""
    trunk_start = torch.from_numpy(row.trunk_start).to(device)
    trunk_limit = torch.from_numpy(row.trunk_limit).to(device)
    branch_start = torch.from_numpy(row.branch_start).to(device)

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        in_trunk = (trunk_start[query] <= key) & (key < trunk_limit[query])
        return in_trunk | ((branch_start[query] <= key) & (key <= query))

    return sees


def _flex(query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask, scale: float | None) -> Tensor:
    out: Tensor = _compiled_flex()(query, key, value, block_mask=block_mask, scale=scale, enable_gqa=True)
    return out


@cache
def _compiled_flex() -> Callable[..., Tensor]:
    # Uncompiled, FlexAttention falls back to a dense n×n computation.
    return torch.compile(flex_attention, dynamic=True)


def enable_tree_attention(model: PreTrainedModel) -> None:
    """Make `model` compute packed trees when it is given one.

    Raises InputError for models whose layers carry state across branches or drop attention at random: a tree would
    be silently wrong for them.
    """
    check_architecture(model)
    if getattr(model.config, "attention_dropout", 0.0):
        raise InputError(
            f"base model of type {model.config.model_type} has attention dropout, which would drop differently in "
            "each branch of a session tree; set attention_dropout to 0 in its config.json"
        )
    model.config._attn_implementation = NAME


ALL_ATTENTION_FUNCTIONS.register(NAME, tree_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
