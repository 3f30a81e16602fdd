"""bfloat16 only where it is faster: on a CPU without bf16 units it is many times slower than float32."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from functools import cache

import torch

from learntoask.core.manifest import Precision


def resolve_precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """The dtype to compute in. `auto` takes bfloat16 where a small matrix product says it is faster."""
    if wanted == "auto":
        return torch.bfloat16 if bfloat16_is_faster(device.type) else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def autocast(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


_ROWS = {"cpu": 256, "cuda": 16384}
"""Of the product that is timed; on a GPU fewer would time its launch."""


@cache
def bfloat16_is_faster(device_type: str) -> bool:
    """Measured: `_ROWS` × 1024 × 1024, the best of three each (about 30 ms where bf16 is emulated)."""
    return _best_seconds(torch.bfloat16, device_type) < _best_seconds(torch.float32, device_type)


def _best_seconds(dtype: torch.dtype, device_type: str) -> float:
    left = torch.ones(_ROWS[device_type], 1024, dtype=dtype, device=device_type)
    right = torch.ones(1024, 1024, dtype=dtype, device=device_type)
    seconds = []
    for _ in range(3):
        _finish(device_type)
        start = time.perf_counter()
        left @ right
        _finish(device_type)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _finish(device_type: str) -> None:
    if device_type == "cuda":
        torch.cuda.synchronize()
