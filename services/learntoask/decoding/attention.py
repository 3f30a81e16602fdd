"""Attention for decoding on trees: many branches read one trunk's keys and values, which are never copied per branch.

Each attention over [trunk; own branch] is computed as two attentions, merged by their log-sum-exp. That is exact, but
the log-sum-exp carries no gradient here, so this is for sampling only (training.tree.attention_cpu has a backward).

Shapes: `heads` is the number of query heads, of which `fold` share one key/value head; d is the width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "branching"
_ALIGNED = 16  # elements; GPU kernels want rows of a mask to begin at multiples


class AttentionPlan(Protocol):
    """How the packed tokens of one forward pass see each other and the caches."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Return the outputs [n, heads, d] of n tokens with query [heads, n, d], key and value [kv heads, n, d]."""


@dataclass(frozen=True, eq=False)
class TrunkSegment:
    """Packed tokens `start:stop`, which continue the first `shared` tokens of the trunk with cache `source`.

    `cache` receives keys and values of the whole trunk, one [2, kv heads, shared + new, d] per layer.
    """

    start: int
    stop: int
    source: Sequence[Tensor] = ()
    shared: int = 0
    cache: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class PrefillAttention:
    """Plan of a prefill: several trunks without padding, each of which sees itself and its source causally."""

    segments: Sequence[TrunkSegment]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        heads, tokens, width = query.shape
        kv_heads = key.shape[0]
        fold = heads // kv_heads
        out = query.new_empty(tokens, kv_heads, fold, width)
        for segment in self.segments:
            span = slice(segment.start, segment.stop)
            size = segment.stop - segment.start
            new = torch.stack((key[:, span].to(value.dtype), value[:, span]))
            asked = query[:, span].view(kv_heads, fold, size, width)
            per_head = new[:, :, None].expand(-1, -1, fold, -1, -1)
            part, lse = attention(asked, per_head[0], per_head[1], scale=scale, causal=True)
            if segment.shared:
                past = segment.source[layer][:, :, : segment.shared]
                folded = asked.reshape(1, kv_heads, fold * size, width)
                before, before_lse = attention(folded, past[None, 0], past[None, 1], scale=scale)
                part = merge_attention(part, lse, before.view_as(part), before_lse.view_as(lse))
                new = torch.cat((past, new), dim=2)
            segment.cache.append(new)
            out[span] = part.permute(2, 0, 1, 3)
        return out.view(tokens, heads, width)


@dataclass(frozen=True, eq=False)
class TrunkGroup:
    """Tokens `start:stop` of a step, which see the first `length` tokens of one trunk, except what `mask` hides.

    `mask` is additive, [1, 1, fold · tokens, length]; None if all rows attach at `length`.
    """

    start: int
    stop: int
    trunk: Sequence[Tensor]
    length: int
    mask: Tensor | None


@dataclass(frozen=True, eq=False)
class StepAttention:
    """Plan of a step: n new tokens for b rows, one or more each, of which at most `most` belong to one row.

    The tokens of a row lie next to each other, and so do rows of one trunk (`groups`). Token i is the `places[i]`-th
    new one of row `rows[i]`. `own` [layers, 2, b, kv heads, capacity, d] holds the keys and values of the branches, and
    `slots` [n] says where those of the new tokens go. `longest` is the greatest slot. `mask` is additive, [b, 1, fold ·
    most, longest + 1]; None if nothing is hidden.
    """

    groups: Sequence[TrunkGroup]
    own: Tensor
    rows: Tensor
    places: Tensor
    slots: Tensor
    most: int
    longest: int
    mask: Tensor | None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        heads, tokens, width = query.shape
        kv_heads = key.shape[0]
        fold = heads // kv_heads
        keys, values = self.own[layer]
        keys[self.rows, :, self.slots] = key.transpose(0, 1).to(keys.dtype)
        values[self.rows, :, self.slots] = value.transpose(0, 1).to(values.dtype)

        asked = query.view(kv_heads, fold, tokens, width)
        own, own_lse = attention(
            self._by_row(asked.permute(2, 0, 1, 3)),
            keys[:, :, : self.longest + 1],
            values[:, :, : self.longest + 1],
            scale=scale,
            mask=self.mask,
        )
        own, own_lse = self._by_token(own, fold), self._by_token(own_lse[..., None], fold)[..., 0]
        trunk = torch.empty_like(own)
        trunk_lse = torch.empty_like(own_lse)
        for group in self.groups:
            span = slice(group.start, group.stop)
            size = group.stop - group.start
            cache = group.trunk[layer][:, None, :, : group.length]
            part, lse = attention(
                asked[:, :, span].reshape(1, kv_heads, fold * size, width),
                cache[0],
                cache[1],
                scale=scale,
                mask=group.mask,
            )
            trunk[span] = part.view(kv_heads, fold, size, width).permute(2, 0, 1, 3)
            trunk_lse[span] = lse.view(kv_heads, fold, size).permute(2, 0, 1)
        return merge_attention(trunk, trunk_lse, own, own_lse).reshape(tokens, heads, width)

    def _by_row(self, queries: Tensor) -> Tensor:
        """Return queries [n, kv heads, fold, d] of tokens as those of rows [b, kv heads, fold · most, d]."""
        if self.most == 1:
            return queries
        _, kv_heads, fold, width = queries.shape
        rows = queries.new_zeros(self.own.shape[2], kv_heads, fold, self.most, width)
        rows[self.rows, :, :, self.places] = queries
        return rows.flatten(2, 3)

    def _by_token(self, outputs: Tensor, fold: int) -> Tensor:
        """Return outputs [b, kv heads, fold · most, d] of rows as those of tokens [n, kv heads, fold, d]."""
        if self.most == 1:
            return outputs
        rows, kv_heads, _, width = outputs.shape
        return outputs.reshape(rows, kv_heads, fold, self.most, width)[self.rows, :, :, self.places]


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool = False,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return softmax attention [b, h, q, d] and the log-sum-exp [b, h, q] of its scores.

    query [b, h, q, d], key and value [b, h, k, d]; `mask` (from `additive_mask`) broadcasts to [b, h, q, k].
    """
    dtype = value.dtype  # under autocast the rotary embedding leaves queries and keys in float32
    query, key = query.to(dtype), key.to(dtype)
    # The kernels behind scaled_dot_product_attention, which itself does not return the log-sum-exp.
    if query.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
        return out, lse
    if mask is not None:
        mask = mask.expand(*query.shape[:3], key.shape[2])
    out, lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, mask, True, 0.0, causal, scale=scale
    )
    return out, lse[..., : query.shape[2]]  # the kernel rounds the length up


def additive_mask(hidden: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Return −∞ where `hidden` [rows, keys] is true, else 0, with rows aligned as the GPU kernel requires."""
    rows, keys = hidden.shape
    mask = torch.zeros(rows, -(-keys // _ALIGNED) * _ALIGNED, dtype=dtype, device=hidden.device)[:, :keys]
    return mask.masked_fill_(hidden, float("-inf"))


def merge_attention(first: Tensor, first_lse: Tensor, second: Tensor, second_lse: Tensor) -> Tensor:
    """Merge two attentions over disjoint keys into one over all keys: outputs [..., d], log-sum-exps [...]."""
    share = torch.sigmoid(second_lse - first_lse)[..., None].to(first.dtype)
    return torch.lerp(first, second, share)


def _forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    scaling: float,
    attention_plan: AttentionPlan,
    **_ignored: Any,
) -> tuple[Tensor, None]:
    """Implement transformers' attention interface for n packed tokens: query [1, heads, n, d] → [1, n, heads, d]."""
    return attention_plan.attend(module.layer_idx, query[0], key[0], value[0], scaling)[None], None


@contextmanager
def branching_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let `model` compute attention by the `attention_plan=` of each call, in evaluation mode, without gradients.

    This is not inference mode, whose tensors a model in training that shares buffers with this one could not use.
    """
    implementation, training = model.config._attn_implementation, model.training
    model.config._attn_implementation = NAME
    if training:  # switching visits all modules, which is too slow for every step of a server
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.config._attn_implementation = implementation
        if training:
            model.train()


ALL_ATTENTION_FUNCTIONS.register(NAME, _forward)
