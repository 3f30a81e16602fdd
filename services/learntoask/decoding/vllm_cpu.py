"""What vLLM's CPU build has to be told, whoever starts it."""

from __future__ import annotations

import os
import shutil

import torch

BLOCK = 32  # tokens; vLLM's CPU kernels want multiples of it, and smaller blocks leave less to read again


def configure(cache_gib: int) -> None:
    """What it reads from the environment alone, at import; what the user has set stays."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(cache_gib))
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # Eager or not, vLLM has some functions compiled, and images have no compiler.
    if not torch.cuda.is_available() and shutil.which("g++") is None:
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
