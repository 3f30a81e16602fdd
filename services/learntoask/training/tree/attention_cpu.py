"""Attention over packed session trees on a CPU, forward and backward, without masks and without copies of the trunk.

A branch token sees its trunk up to some point and its own branch so far. These two attentions are computed separately:
all branches of a context attend together to the trunk's keys in place, and all branches of equal length attend to
themselves in a batch. A long trunk is cut likewise into stretches, which attend to themselves and to all before them.

Two attentions over disjoint keys are merged exactly by the log-sum-exp of their scores. The log-sum-exp that the kernel
returns carries no gradient, so autograd would give wrong gradients. The gradient of a softmax depends on the other keys
only through the merged output and the merged log-sum-exp, so the backward pass here calls the kernel's own backward
with these, part by part.

Shapes: n packed tokens, h kv heads with `fold` query heads each, heads of width d.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from learntoask.decoding.attention import attention
from learntoask.training.tree.layout import TrunkSpan

_attend_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


STRETCH = 128
"""Tokens of a trunk in one causal attention. Short stretches waste less of the kernel's work on hidden keys, and their
attention to earlier tokens folds the query heads (a fifth faster at 420 to 2,000 tokens)."""

BATCH = 512
"""Tokens of branches in one call. The kernel returns gradients for every query head, which for larger batches exceed
the processor's cache (half the time at 3,000 tokens)."""


class AttentionPart(Protocol):
    """Some queries of a micro-batch and the keys they see, in the shapes the kernel takes: batch b, kernel heads k."""

    causal: bool

    def queries(self, packed: Tensor) -> Tensor:
        """Select from [h, n, fold, d] the queries of this part: [b, k, queries, d]."""

    def keys(self, packed: Tensor, fold: int) -> Tensor:
        """Select from [h, n, d] the keys or values of this part: [b, k, keys, d]."""

    def add_keys(self, packed: Tensor, part: Tensor) -> None:
        """Add the gradients `part` of `keys` to `packed` [h, n, d], summed over the heads that share a key."""


@dataclass(frozen=True)
class Stretch:
    """Tokens `start:stop` of a trunk, each of which sees itself and those before it."""

    start: int
    stop: int
    causal = True

    def queries(self, packed: Tensor) -> Tensor:
        return packed[:, self.start : self.stop].transpose(1, 2)

    def put_queries(self, packed: Tensor, part: Tensor) -> None:
        self.queries(packed).copy_(part)

    def keys(self, packed: Tensor, fold: int) -> Tensor:
        return packed[:, None, self.start : self.stop].expand(-1, fold, -1, -1)

    def add_keys(self, packed: Tensor, part: Tensor) -> None:
        packed[:, self.start : self.stop] += part.sum(1, dtype=packed.dtype)


@dataclass(frozen=True, eq=False)
class Branches:
    """Branches of equal length, each a causal sequence: `tokens` [b, length] are their indices in the micro-batch."""

    tokens: Tensor
    causal = True

    def queries(self, packed: Tensor) -> Tensor:
        return self._cut(packed, *packed.shape[2:]).transpose(1, 2)

    def put_queries(self, packed: Tensor, part: Tensor) -> None:
        shaped = part.transpose(1, 2).reshape(len(packed), self.tokens.numel(), *packed.shape[2:])
        packed.index_copy_(1, self.tokens.flatten(), shaped)

    def keys(self, packed: Tensor, fold: int) -> Tensor:
        return self._cut(packed, packed.shape[2])[:, None].expand(-1, fold, -1, -1)

    def add_keys(self, packed: Tensor, part: Tensor) -> None:
        all_reduce = part.sum(1, dtype=packed.dtype).view(len(packed), self.tokens.numel(), -1)
        packed.index_add_(1, self.tokens.flatten(), all_reduce)

    def _cut(self, packed: Tensor, *shape: int) -> Tensor:
        """[h, n, *shape] → [h · b, length, *shape]."""
        return packed.index_select(1, self.tokens.flatten()).view(-1, self.tokens.shape[1], *shape)


@dataclass(frozen=True)
class Prefix:
    """Tokens `start:stop`, all of which see the trunk's tokens `first:last`.

    The query heads that share a kv head are folded into the length.
    """

    start: int
    stop: int
    first: int
    last: int
    causal = False

    def queries(self, packed: Tensor) -> Tensor:
        return packed[None, :, self.start : self.stop].flatten(2, 3)

    def keys(self, packed: Tensor, fold: int) -> Tensor:
        return packed[None, :, self.first : self.last]

    def add_keys(self, packed: Tensor, part: Tensor) -> None:
        packed[:, self.first : self.last] += part[0]


@dataclass(frozen=True)
class AttentionParts:
    """`own` holds every token of the micro-batch once, as a query; `prefixes` add what it sees of the trunk before."""

    own: Sequence[Stretch | Branches]
    prefixes: Sequence[Prefix]


def attention_parts(spans: Sequence[TrunkSpan]) -> AttentionParts:
    """Return the parts that together compute the attention of a micro-batch with these trunks."""
    own: list[Stretch | Branches] = [*_branches(spans)]
    prefixes: list[Prefix] = []
    for span in spans:
        for start in range(span.start, span.stop, STRETCH):
            stop = min(start + STRETCH, span.stop)
            own.append(Stretch(start, stop))
            if start > span.start:
                prefixes.append(Prefix(start, stop, span.start, start))
        for group in span.groups:
            prefixes.append(Prefix(group.start, group.stop, span.start, span.start + group.prefix))
    return AttentionParts(own, prefixes)


def _branches(spans: Sequence[TrunkSpan]) -> Iterator[Branches]:
    starts: dict[int, list[int]] = {}
    for span in spans:
        for group in span.groups:
            start = group.start
            for length in group.lengths:
                starts.setdefault(length, []).append(start)
                start += length
    for length, places in starts.items():
        tokens = torch.tensor(places)[:, None] + torch.arange(length)
        yield from map(Branches, tokens.split(max(1, BATCH // length)))


class PartwiseAttention(torch.autograd.Function):
    """Query [h, n, fold, d], key and value [h, n, d], all of one dtype → outputs [h, n, fold, d]."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, parts: AttentionParts, scale: float
    ) -> Tensor:
        fold = query.shape[2]
        out = torch.empty_like(query)
        lse = query.new_empty(*query.shape[:3], 1, dtype=torch.promote_types(query.dtype, torch.float32))

        def attend(part: AttentionPart) -> tuple[Tensor, Tensor]:
            asked, keys, values = part.queries(query), part.keys(key, fold), part.keys(value, fold)
            found, sums = attention(asked, keys, values, scale=scale, causal=part.causal)
            return found, sums[..., None]

        for part in parts.own:
            found, sums = attend(part)
            part.put_queries(out, found)
            part.put_queries(lse, sums)
        for prefix in parts.prefixes:
            found, sums = attend(prefix)
            other, other_sums = prefix.queries(out), prefix.queries(lse)
            other.lerp_(found, torch.sigmoid(sums - other_sums).to(out.dtype))
            other_sums.copy_(torch.logaddexp(sums, other_sums))
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.parts, ctx.scale = parts, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *saved, lse = ctx.saved_tensors
        # In bfloat16 the kernel's backward takes two to three times as long as in float32, about a millisecond for the
        # smallest part, and the small ones of the many gradients that are added for one key would be lost. Branches are
        # selected up to fifty times as fast from contiguous tokens.
        grad, query, key, value, out = (tokens.to(lse.dtype).contiguous() for tokens in (grad, *saved))
        fold = query.shape[2]
        of_query = torch.empty_like(query)
        of_key, of_value = torch.zeros_like(key), torch.zeros_like(value)

        def attend_backward(part: AttentionPart) -> Tensor:
            found: Tensor
            found, keys, values = _attend_backward(
                part.queries(grad),
                part.queries(query),
                part.keys(key, fold),
                part.keys(value, fold),
                part.queries(out),
                part.queries(lse)[..., 0],
                0.0,
                part.causal,
                scale=ctx.scale,
            )
            part.add_keys(of_key, keys)
            part.add_keys(of_value, values)
            return found

        for part in ctx.parts.own:
            part.put_queries(of_query, attend_backward(part))
        for prefix in ctx.parts.prefixes:
            prefix.queries(of_query).add_(attend_backward(prefix))
        of_inputs = (of_tokens.to(saved[0].dtype) for of_tokens in (of_query, of_key, of_value))
        return *of_inputs, None, None
