"""Stage `grpo`: the SFT policy, improved by reinforcement on graded samples of its own, or by a baseline's method."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict

from transformers.utils import logging as transformers_logging

from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.decoding.sessions import SessionSampler, decode_sessions
from learntoask.grader_service.grader_source import open_grader
from learntoask.grading.grades import Grader
from learntoask.policy.model import Policy
from learntoask.training.distributed.launch import run_on_workers
from learntoask.training.distributed.process_group import Workers
from learntoask.training.grpo.run import GrpoRun
from learntoask.training.grpo.trainer import GrpoTrainer
from learntoask.training.grpo.vllm_rollouts import VllmSampler
from learntoask.training.optim.token_budget import row_tokens
from learntoask.training.policy_folder import open_policy, open_trainable, publish_policy
from learntoask.training.sft.stage import training_sessions
from learntoask.training.sft.targets import split_for_training


def run(context: StageContext) -> StageSummary:
    """Publish `model/`, `metrics.jsonl` and `tensorboard/`. Raises StageError as `Trainer.train` does."""
    return run_on_workers(context, _train, module=__name__)


def _train(context: StageContext, workers: Workers) -> StageSummary:
    transformers_logging.disable_progress_bar()
    train = context.spec.train
    parts = split_for_training(training_sessions(context), kept_share=train.sft.kept_share, seed=train.seed)
    policy, adapters, precision = open_trainable(context, "sft", workers)
    run = GrpoRun(
        settings=train.grpo,
        reward=train.reward,
        seed=train.seed,
        precision=precision,
        row_tokens=row_tokens(train.row_tokens, policy.model.device),
        max_new_tokens=train.max_new_tokens,
        max_missing_share=context.spec.grader.max_missing_share,
        checkpoint_every=train.checkpoint_every,
        work=context.work,
        workers=workers,
        distributed=train.distributed,
        method=train.method,
        dpo_beta=train.dpo.beta,
    )
    with _grader(context, workers) as grader:
        trainer = GrpoTrainer(
            policy,
            # Without its adapters the policy is its own reference.
            policy if adapters else open_policy(context, "sft"),
            (*parts.kept, *parts.sft),
            parts.validation,
            grader=grader,
            run=run,
            draw=_draw(context, policy),
            adapters=adapters,
        )
        result, journal = trainer.train(context.progress)
    if workers.is_leader:
        publish_policy(policy, adapters, context.out)
        journal.publish(context.out)
    validated = {
        name: found.metrics() if found else None
        for name, found in (("start", result.start), ("best", result.best))
    }
    return {**asdict(result), **validated, "kept_sessions": len(parts.kept)}


def _draw(context: StageContext, policy: Policy) -> SessionSampler:
    train = context.spec.train
    if train.grpo.rollouts == "transformers":
        return decode_sessions
    context.progress.update(0, train.grpo.updates, "starting vLLM for rollouts")
    return VllmSampler(policy, context.work / "rollouts", max_new_tokens=train.max_new_tokens)


def _grader(context: StageContext, workers: Workers) -> AbstractContextManager[Grader | None]:
    """The grader, for the worker that asks it."""
    if not workers.is_leader:
        return nullcontext()
    return open_grader(
        "rewarding",
        context.inputs["grader"],
        settings=context.spec.grader,
        pack=context.pack,
        work=context.work,
    )
