"""The precision to compute in. bfloat16 is used where it is faster; a CPU without bf16 units is many times slower."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from functools import cache

import torch

from learntoask.core.manifest import Precision


def resolve_precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype that `wanted` means on `device`; `auto` is bfloat16 where a timed product is faster in it."""
    if wanted == "auto":
        return torch.bfloat16 if bfloat16_is_faster(device.type) else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def autocast(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which matrix products compute in `dtype`; float32 changes nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


_ROWS = {"cpu": 256, "cuda": 16384}
"""Rows of the timed product by device; with fewer, a GPU would spend its time launching kernels."""


@cache
def bfloat16_is_faster(device_type: str) -> bool:
    """Time a product of [_ROWS, 1024] and [1024, 1024] in both dtypes, best of three (30 ms where bf16 is emulated)."""
    return _best_seconds(torch.bfloat16, device_type) < _best_seconds(torch.float32, device_type)


def _best_seconds(dtype: torch.dtype, device_type: str) -> float:
    left = torch.ones(_ROWS[device_type], 1024, dtype=dtype, device=device_type)
    right = torch.ones(1024, 1024, dtype=dtype, device=device_type)
    seconds = []
    for _ in range(3):
        _synchronise(device_type)
        start = time.perf_counter()
        left @ right
        _synchronise(device_type)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _synchronise(device_type: str) -> None:
    if device_type == "cuda":
        torch.cuda.synchronize()
