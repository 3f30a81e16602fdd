"""Computes log-probabilities of targets and entropies from logits, in one pass over memory forward and one backward.

`log_softmax` and `gather` read and write several tensors as large as the logits, which for a small model takes as long
as its layers. Here a few rows of logits at a time, which stay in the processor's cache, go through all operations. For
the gradient only the logits and one number a row are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CACHED = 2**17
"""Number of logits processed at a time (512 KiB in float32)."""


class LogProbabilities(torch.autograd.Function):
    """Logits [u, v], rows [m] into them, targets [m], temperature → log-probabilities [m] and entropies [m].

    The results are float32 or better. Entropies, in nats, are those of the targets' rows and carry no gradient.
    """

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
        # Where a target is nearly certain the two terms almost cancel, so they are added before they are rounded.
        _, same = torch.unique(rows * logits.shape[1] + targets, return_inverse=True)
        of_target = torch.zeros_like(grad).index_add_(0, same, grad)[same]
        certain = (logits[rows, targets].to(grad.dtype) / ctx.temperature - sums[rows]).exp()
        # Written into the memory of the logits, which are not read again: autograd forbids a second backward pass.
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
    """The logits over the temperature, always as a new tensor."""
    return torch.div(logits.to(dtype), temperature) if temperature != 1 else logits.to(dtype, copy=True)
