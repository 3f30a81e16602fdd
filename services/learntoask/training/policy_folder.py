"""The policy as a training stage needs it, and its publication."""

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
    """The policy that stage `upstream` published, able to compute session trees."""
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
    """The policy of `upstream` ready to be trained as the manifest says; the adapters, where it wants them; the
    precision, one for all workers (`auto` measures, and they might measure differently)."""
    train = context.spec.train
    precision = workers.broadcast(lambda: resolve_precision(train.precision, best_device()))
    # On the CPU at first: as a whole, in float32, a large base may fit onto no GPU.
    policy = open_policy(context, upstream, device=torch.device("cpu"))
    if train.activation_checkpointing:
        policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    adapters = None
    if train.lora is not None:
        adapters = Adapters.attach(policy.model, train.lora, seed=train.seed, frozen=precision)
    if train.distributed.zero < 3:  # else DeepSpeed puts its share there
        policy.model.to(best_device())
    return policy, adapters, precision


def publish_policy(policy: Policy, adapters: Adapters | None, out: Path) -> None:
    """Write `model/`, an ordinary Hugging Face folder, and `adapter/` where adapters were trained (merged in `model/`
    too)."""
    if adapters:
        adapters.publish(out)
    policy.model.save_pretrained(out / "model")
    policy.tokenizer.save_pretrained(out / "model")
