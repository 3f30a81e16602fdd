"""Stage `sft`: the base model, fine-tuned on the experts' own turns."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from transformers.utils import logging as transformers_logging

from learntoask.core.records import LabelledSession
from learntoask.core.stage import StageContext, StageSummary
from learntoask.training import sft
from learntoask.training.attention import enable_tree_attention
from learntoask.training.policy import Policy
from learntoask.training.precision import resolve_precision
from learntoask.training.supervised import divide


def run(context: StageContext) -> StageSummary:
    """Publish `model/`, `metrics.jsonl` and `tensorboard/`. Raises StageError as `sft.train` does."""
    transformers_logging.disable_progress_bar()
    train = context.spec.train
    policy = Policy.load(
        context.inputs["fetch"] / "model",
        context.pack,
        max_prompt_tokens=train.max_prompt_tokens,
        may_stop=train.reward.mode != "ask_only",
    )
    precision = resolve_precision(train.precision, policy.model.device)
    enable_tree_attention(policy.model)
    parts = divide(
        read_labelled(context.inputs["label"]),
        kept_share=train.sft.kept_share if train.grpo.updates else 0.0,
        seed=train.seed,
    )
    result, journal = sft.train(
        policy,
        parts.sft,
        parts.validation,
        run=sft.SftRun(
            settings=train.sft,
            seed=train.seed,
            precision=precision,
            row_tokens=train.row_tokens,
            checkpoint_every=train.checkpoint_every,
            work=context.work,
        ),
        progress=context.progress,
    )
    publish_model(policy, context.out)
    journal.publish(context.out)
    return {
        "precision": str(precision).removeprefix("torch."),
        "validation_sessions": len(parts.validation),
        "kept_for_grpo": len(parts.kept),
        **{name: value for name, value in asdict(result).items() if value != float("inf")},
    }


def publish_model(policy: Policy, out: Path) -> None:
    """Write `model/`, an ordinary Hugging Face folder."""
    policy.model.save_pretrained(out / "model")
    policy.tokenizer.save_pretrained(out / "model")


def read_labelled(folder: Path) -> list[LabelledSession]:
    """The labelled sessions that the label stage published in `folder`."""
    with (folder / "labelled.jsonl").open(encoding="utf-8") as lines:
        return [LabelledSession.model_validate_json(line) for line in lines]
