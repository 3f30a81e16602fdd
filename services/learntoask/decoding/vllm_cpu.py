"""Settings of vLLM's CPU build, shared by the policy server and the rollouts of GRPO."""

from __future__ import annotations

import os
import shutil

import torch

BLOCK = (
    32  # tokens of a cache block; CPU kernels need multiples of 32, and small blocks waste the least prefix
)


def configure(cache_gib: int) -> None:
    """Set the environment variables that vLLM reads when it is imported. Variables that the user has set stay.

    `cache_gib` is the size of the key/value cache.
    """
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(cache_gib))
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # vLLM compiles some functions even in eager mode, and the images have no C++ compiler.
    if not torch.cuda.is_available() and shutil.which("g++") is None:
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
