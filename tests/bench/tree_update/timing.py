"""Seconds, memory and gradient of one update, and the multiplications that it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from learntoask.training.tree.layout import pack_micro_batch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tree_update.cases import LENGTH, Case


@dataclass(frozen=True)
class Update:
    """One update: `seconds` of the processor on a CPU and of the clock on a GPU, and there its peak memory in GiB."""

    seconds: float
    gradient: Tensor
    gibibytes: float


def measured(model: PreTrainedModel, step: Callable[[], float], *, bf16: bool = False) -> Update:
    """Make one update. The gradient is that of all weights that learn."""
    model.zero_grad(set_to_none=True)
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = _now(model.device)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        step()
    seconds = _now(model.device) - start
    gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    return Update(seconds, torch.cat(gradients), peak)


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def work_ratio(model: PreTrainedModel, case: Case) -> float:
    """Return the multiplications of the rows over those of the tree.

    Counted are all layers for every token, the head for every logit, and attention for every key that a token sees, of
    which there are position + 1.
    """
    config = model.config
    layers = sum(
        module.weight.numel() for module in model.base_model.layers.modules() if isinstance(module, nn.Linear)
    )
    head = config.vocab_size * config.hidden_size
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    key = 2 * config.num_hidden_layers * config.num_attention_heads * width
    packed = pack_micro_batch([case.tree])
    tree = (
        layers * len(packed.tokens) + head * len(set(packed.reads)) + key * int((packed.positions + 1).sum())
    )
    sizes = [completion.attach + LENGTH for completion in case.tree.completions]
    rows = sum(layers * size + head * LENGTH + key * size * (size + 1) // 2 for size in sizes)
    return rows / tree
