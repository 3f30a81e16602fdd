"""Attention over packed session trees, plugged into transformers' attention interface.

On a CPU by parts (`parted_attention`; FlexAttention has no CPU backward), on a GPU by FlexAttention with a block mask
from the same three integers a token.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from learntoask.core.errors import InputError
from learntoask.policy.architecture import check_architecture
from learntoask.training.tree.attention_cpu import AttentionParts, PartwiseAttention, attention_parts
from learntoask.training.tree.attention_gpu import block_mask
from learntoask.training.tree.layout import MicroBatch

NAME = "session_tree"
# Of rows of less than 128 tokens it would ask for a decoding kernel, and find none that fits.
_KERNEL = {"BACKEND": "TRITON"}
_FLOAT32 = {
    "FLOAT32_PRECISION": "'tf32x3'",
    **{"fwd_BLOCK_M": 64, "fwd_BLOCK_N": 32, "fwd_num_warps": 4, "fwd_num_stages": 2},
    **{f"bwd_BLOCK_{side}": 32 for side in ("M1", "N1", "M2", "N2")},
    **{"bwd_num_warps": 4, "bwd_num_stages": 1},
}
"""Each product as three on the matrix units: as exact as float32 (relative errors below 1e-6) and, with these tiles, 16
times as fast as by default, 4 times backward (an H200, heads of 64)."""


def tree_mask(row: MicroBatch, *, device: torch.device) -> AttentionParts | BlockMask:
    """What the layers need of a row, made once and used by all of them."""
    return attention_parts(row.spans) if device.type == "cpu" else block_mask(row, device)


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree: AttentionParts | BlockMask | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of a layer: query [1, heads, n, d], key and value [1, kv heads, n, d] → ([1, n, heads, d], None).

    Without `tree` it is transformers' own SDPA, so one model serves sampling and updates alike.
    """
    if tree is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if isinstance(tree, AttentionParts):
        return _by_parts(query, key, value, tree, scaling), None
    return _flex(query, key, value, tree, scaling).transpose(1, 2).contiguous(), None


def _by_parts(
    query: Tensor, key: Tensor, value: Tensor, parts: AttentionParts, scale: float | None
) -> Tensor:
    _, heads, size, width = query.shape
    kv_heads, dtype = (
        key.shape[1],
        value.dtype,
    )  # autocast leaves queries and keys in float32 after the rotation
    per_key = query[0].to(dtype).view(kv_heads, -1, size, width).transpose(1, 2).contiguous()
    out: Tensor = PartwiseAttention.apply(
        per_key, key[0].to(dtype), value[0], parts, width**-0.5 if scale is None else scale
    )
    return out.transpose(0, 1).reshape(1, size, heads, width)


def _flex(query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask, scale: float | None) -> Tensor:
    dtype = value.dtype  # autocast leaves queries and keys in float32 after the rotation
    out: Tensor = _compiled_flex()(
        query.to(dtype),
        key.to(dtype),
        value,
        block_mask=block_mask,
        scale=scale,
        enable_gqa=True,
        kernel_options=_KERNEL | _FLOAT32 if dtype == torch.float32 else _KERNEL,
    )
    return out


@cache
def _compiled_flex() -> Callable[..., Tensor]:
    # Uncompiled, FlexAttention falls back to a dense n×n computation; as a full graph it fails rather than do so.
    return torch.compile(flex_attention, dynamic=True, fullgraph=True)


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
