"""Stage `grpo`: the SFT policy, improved by reinforcement on graded samples of its own."""

from __future__ import annotations

from dataclasses import asdict

from transformers.utils import logging as transformers_logging

from learntoask.core.stage import StageContext, StageSummary
from learntoask.grader_service.opening import open_grader
from learntoask.training.attention import enable_tree_attention
from learntoask.training.grpo import GrpoRun, Trainer
from learntoask.training.policy import Policy
from learntoask.training.precision import resolve_precision
from learntoask.training.sft_stage import publish_model, read_labelled
from learntoask.training.supervised import divide


def run(context: StageContext) -> StageSummary:
    """Publish `model/`, `metrics.jsonl` and `tensorboard/`. Raises StageError as `Trainer.train` does."""
    transformers_logging.disable_progress_bar()
    train = context.spec.train
    parts = divide(read_labelled(context.inputs["label"]), kept_share=train.sft.kept_share, seed=train.seed)
    policy, reference = (_policy(context) for _ in range(2))
    run = GrpoRun(
        settings=train.grpo,
        reward=train.reward,
        seed=train.seed,
        precision=resolve_precision(train.precision, policy.model.device),
        row_tokens=train.row_tokens,
        max_new_tokens=train.max_new_tokens,
        max_missing_share=context.spec.grader.max_missing_share,
        checkpoint_every=train.checkpoint_every,
        work=context.work,
    )
    with open_grader(
        "rewarding",
        context.inputs["grader"],
        settings=context.spec.grader,
        pack=context.pack,
        work=context.work,
    ) as grader:
        trainer = Trainer(
            policy,
            reference,
            # Sessions SFT did not train on; where too few were kept, all of them.
            parts.kept if len(parts.kept) >= train.grpo.batch_sessions else parts.kept + parts.sft,
            parts.validation,
            grader=grader,
            run=run,
        )
        result, journal = trainer.train(context.progress)
    publish_model(policy, context.out)
    journal.publish(context.out)
    validated = {
        name: found.metrics() if found else None
        for name, found in (("start", result.start), ("best", result.best))
    }
    return {**asdict(result), **validated, "kept_sessions": len(parts.kept)}


def _policy(context: StageContext) -> Policy:
    train = context.spec.train
    policy = Policy.load(
        context.inputs["sft"] / "model",
        context.pack,
        max_prompt_tokens=train.max_prompt_tokens,
        may_stop=train.reward.mode != "ask_only",
    )
    enable_tree_attention(policy.model)
    return policy
