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
    """Logits [m, v], targets [m], temperature → log-probabilities [m] and entropies [m] (without gradient), float32
    or better."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(logits.dtype, torch.float32)
        logprobs, entropies, sums = logits.new_empty(3, len(logits), dtype=exact)
        for rows in _slices(logits):
            scaled = _scaled(logits[rows], temperature, exact)
            top = scaled.amax(dim=1, keepdim=True)
            scaled -= top
            logprobs[rows] = scaled.gather(1, targets[rows, None])[:, 0]
            weights = scaled.exp()
            total = weights.sum(dim=1)
            log_total = total.log()
            logprobs[rows] -= log_total
            sums[rows] = log_total + top[:, 0]
            entropies[rows] = log_total - weights.mul_(scaled).sum(dim=1) / total
        ctx.save_for_backward(logits, targets, sums)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _entropies: Tensor) -> tuple[Tensor, None, None]:
        logits, targets, sums = ctx.saved_tensors
        grad = grad / ctx.temperature
        out = torch.empty_like(logits)
        for rows in _slices(logits):
            part = _scaled(logits[rows], ctx.temperature, sums.dtype)
            part.sub_(sums[rows, None]).exp_().mul_(-grad[rows, None])
            part.scatter_add_(1, targets[rows, None], grad[rows, None])
            out[rows] = part
        return out, None, None


def _slices(logits: Tensor) -> Iterator[slice]:
    size = max(1, CACHED // logits.shape[1]) if logits.device.type == "cpu" else max(1, len(logits))
    return (slice(start, start + size) for start in range(0, len(logits), size))


def _scaled(logits: Tensor, temperature: float, dtype: torch.dtype) -> Tensor:
    """A new tensor, never the logits themselves."""
    return torch.div(logits.to(dtype), temperature) if temperature != 1 else logits.to(dtype, copy=True)
