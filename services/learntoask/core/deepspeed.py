"""The DeepSpeed configuration: derived from the manifest, merged with the user's settings, with all names checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

_DEVICES = {"cpu", "nvme"}
_OFFLOAD = {
    "device",
    "nvme_path",
    "buffer_count",
    "buffer_size",
    "pin_memory",
    "fast_init",
    "ratio",
    "max_in_cpu",
}
# Settings of DeepSpeed that apply to this training. A test compares them with DeepSpeed's own configuration model.
ZERO = {
    "allgather_bucket_size",
    "allgather_partitions",
    "contiguous_gradients",
    "load_from_fp32_weights",
    "memory_efficient_linear",
    "offload_optimizer",
    "offload_param",
    "overlap_comm",
    "reduce_bucket_size",
    "reduce_scatter",
    "round_robin_gradients",
    "stage3_gather_16bit_weights_on_model_save",
    "stage3_max_live_parameters",
    "stage3_max_reuse_distance",
    "stage3_module_granularity_threshold",
    "stage3_param_persistence_threshold",
    "stage3_prefetch_bucket_size",
    "sub_group_size",
    "use_multi_rank_bucket_allreduce",
    "zero_hpz_partition_size",
    "zero_quantized_gradients",
    "zero_quantized_weights",
}
_KNOWN: dict[str, set[str] | None] = {
    "aio": {
        "block_size",
        "queue_depth",
        "intra_op_parallelism",
        "single_submit",
        "overlap_events",
        "use_gds",
    },
    "communication_data_type": None,
    "comms_logger": {"enabled", "verbose", "prof_all", "debug", "prof_ops"},
    "dump_state": None,
    "flops_profiler": {"enabled", "profile_step", "module_depth", "top_modules", "detailed", "output_file"},
    "memory_breakdown": None,
    "steps_per_print": None,
    "wall_clock_breakdown": None,
    "zero_optimization": ZERO,
}
_OURS = {
    "bf16": "spec.train.precision",
    "fp16": "spec.train.precision",
    "gradient_accumulation_steps": "spec.train.rowTokens",
    "gradient_clipping": "the program",
    "optimizer": "spec.train.sft and spec.train.grpo",
    "scheduler": "spec.train.sft and spec.train.grpo",
    "train_batch_size": "batchSessions",
    "train_micro_batch_size_per_gpu": "spec.train.rowTokens",
    "zero_optimization.stage": "spec.train.distributed.zero",
}


def check_override(override: Mapping[str, JsonValue]) -> None:
    """Check the names in the user's DeepSpeed settings.

    Raises ValueError for the first name that is unknown, with the closest known one, or that is set by another field of
    the manifest, with that field.
    """
    for name, value in override.items():
        _check(name, _KNOWN)
        inner = _KNOWN[name]
        if inner is None:
            continue
        for below in _mapping(name, value):
            _check(f"{name}.{below}", {f"{name}.{known}": None for known in inner})
    zero = _mapping("zero_optimization", override.get("zero_optimization", {}))
    for part in ("offload_optimizer", "offload_param"):
        where = f"zero_optimization.{part}"
        offload = _mapping(where, zero.get(part) or {})
        for below in offload:
            _check(f"{where}.{below}", {f"{where}.{known}": None for known in _OFFLOAD})
        if offload and offload.get("device") not in _DEVICES:
            raise ValueError(f"{where}.device must be one of {', '.join(sorted(_DEVICES))}")


def deepspeed_config(
    *, zero: Literal[1, 2, 3], max_norm: float, override: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """Return the configuration for `deepspeed.initialize`, which also gets an AdamW of `torch.optim`.

    DeepSpeed's own optimizer would have to be compiled on a CPU. The number of micro-batches varies from batch to
    batch, so the trainer marks the end of a batch itself, and DeepSpeed is told that a batch is one micro-batch.
    """
    generated: dict[str, JsonValue] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": max_norm,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
        "zero_optimization": {"stage": zero, "contiguous_gradients": True, "overlap_comm": False},
    }
    return _merged(generated, override)


def _merged(below: Mapping[str, JsonValue], above: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    merged = dict(below)
    for name, value in above.items():
        there = merged.get(name)
        merged[name] = _merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return merged


def _check(name: str, known: Mapping[str, object]) -> None:
    if name in _OURS:
        raise ValueError(f"{name} cannot be set here; it follows from {_OURS[name]}")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
        raise ValueError(f"{name} is not known to DeepSpeed or not supported here{hint}")


def _mapping(name: str, value: JsonValue) -> Mapping[str, JsonValue]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a mapping")
    return value
