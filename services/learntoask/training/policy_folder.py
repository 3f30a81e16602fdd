"""Open the policy that an upstream stage published, and publish the trained one."""

from __future__ import annotations

from pathlib import Path

import torch

from learntoask.core.stages.contract import StageContext
from learntoask.policy.model import Policy, best_device
from learntoask.policy.precision import resolve_precision
from learntoask.policy.prompt import PromptLimits
from learntoask.training.distributed.process_group import Workers
from learntoask.training.optim.lora import Adapters
from learntoask.training.tree.attention import enable_tree_attention


def open_policy(context: StageContext, upstream: str, *, device: torch.device | None = None) -> Policy:
    """Return the policy that stage `upstream` published, able to compute session trees."""
    policy = Policy.load(
        context.inputs[upstream] / "model",
        context.pack,
        limits=PromptLimits.of(context.spec.train),
        device=device,
    )
    enable_tree_attention(policy.model)
    return policy


def open_trainable(
    context: StageContext, upstream: str, workers: Workers
) -> tuple[Policy, Adapters | None, torch.dtype]:
    """Return the policy of `upstream` prepared for training as `spec.train` says, its adapters if any, the precision.

    The leader determines the precision for all workers, because `auto` measures and results might differ.
    """
    train = context.spec.train
    precision = workers.broadcast(lambda: resolve_precision(train.precision, best_device()))
    # Loaded on the CPU, because a large base in float32 may not fit onto one GPU undivided.
    policy = open_policy(context, upstream, device=torch.device("cpu"))
    if train.activation_checkpointing:
        policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    adapters = None
    if train.lora is not None:
        adapters = Adapters.attach(policy.model, train.lora, seed=train.seed, frozen=precision)
    if train.distributed.zero < 3:  # with ZeRO 3 DeepSpeed moves this worker's share
        policy.model.to(best_device())
    return policy, adapters, precision


def publish_policy(policy: Policy, adapters: Adapters | None, out: Path) -> None:
    """Write `model/`, an ordinary Hugging Face folder, and `adapter/` if adapters were trained.

    The adapters are also merged into the weights in `model/`.
    """
    if adapters:
        adapters.publish(out)
    policy.model.save_pretrained(out / "model")
    policy.tokenizer.save_pretrained(out / "model")
