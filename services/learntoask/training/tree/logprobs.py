"""Log-probabilities of targets and the entropy of their distributions, from logits, with one pass of memory each way.

`log_softmax` and `gather` make, read and write several tensors as large as the logits, which for a small model takes
as long as its layers. Here a few rows at a time, which stay in the processor's cache, go through all of it; kept for
the gradient are the logits and one number a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CACHED = 2**17
"""Logits that are worked on at a time: 512 KiB in float32."""


class LogProbabilities(torch.autograd.Function):
    """Logits [u, v], rows [m] of them and a target for each [m], temperature → log-probabilities [m] of the targets and
    entropies [m] of their rows (without gradient), float32 or better."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, rows: Tensor, targets: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(logits.dtype, torch.float32)
        sums, entropies = logits.new_empty(2, len(logits), dtype=exact)
        for some in _slices(logits):
            scaled = _scaled(logits[some], temperature, exact)
            top = scaled.amax(dim=1, keepdim=True)
            scaled -= top
            weights = scaled.exp()
            total = weights.sum(dim=1)
            log_total = total.log()
            sums[some] = log_total + top[:, 0]
            entropies[some] = log_total - weights.mul_(scaled).sum(dim=1) / total
        ctx.save_for_backward(logits, rows, targets, sums)
        ctx.temperature = temperature
        entropies = entropies[rows]
        ctx.mark_non_differentiable(entropies)
        return logits[rows, targets].to(exact) / temperature - sums[rows], entropies

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _entropies: Tensor) -> tuple[Tensor, None, None, None]:
        logits, rows, targets, sums = ctx.saved_tensors
        grad = grad / ctx.temperature
        of_row = torch.zeros_like(sums).index_add_(0, rows, grad)
        # Where a target is nearly certain the two terms almost cancel: they are added before they are rounded.
        _, same = torch.unique(rows * logits.shape[1] + targets, return_inverse=True)
        of_target = torch.zeros_like(grad).index_add_(0, same, grad)[same]
        certain = (logits[rows, targets].to(grad.dtype) / ctx.temperature - sums[rows]).exp()
        # In the logits' own memory, which nobody reads after this; a second backward pass is an error of autograd's.
        out = logits.detach()
        for some in _slices(logits):
            part = _scaled(logits[some], ctx.temperature, sums.dtype)
            out[some] = part.sub_(sums[some, None]).exp_().mul_(-of_row[some, None])
        out[rows, targets] = (of_target - certain * of_row[rows]).to(out.dtype)
        return out, None, None, None


def _slices(logits: Tensor) -> Iterator[slice]:
    size = max(1, CACHED // logits.shape[1]) if logits.device.type == "cpu" else max(1, len(logits))
    return (slice(start, start + size) for start in range(0, len(logits), size))


def _scaled(logits: Tensor, temperature: float, dtype: torch.dtype) -> Tensor:
    """A new tensor, never the logits themselves."""
    return torch.div(logits.to(dtype), temperature) if temperature != 1 else logits.to(dtype, copy=True)
