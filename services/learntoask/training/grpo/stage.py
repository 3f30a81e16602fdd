"""Stage `grpo`: improve the SFT policy by reinforcement on its own graded samples, or by a baseline's method."""

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
    """Publish `model/`, `metrics.jsonl` and `tensorboard/`. Raises StageError as `GrpoTrainer.train` does."""
    return run_on_workers(context, _train, module=__name__)


def _train(context: StageContext, workers: Workers) -> StageSummary:
    transformers_logging.disable_progress_bar()
    train = context.spec.train
    split = split_for_training(training_sessions(context), kept_share=train.sft.kept_share, seed=train.seed)
    policy, adapters, precision = open_trainable(context, "sft", workers)
    run = GrpoRun(
        train=train,
        precision=precision,
        row_tokens=row_tokens(train.row_tokens, policy.model.device),
        max_missing_share=context.spec.grader.max_missing_share,
        work=context.work,
        workers=workers,
    )
    with _grader(context, workers) as grader:
        trainer = GrpoTrainer(
            policy,
            # With its adapters disabled the policy is its own reference.
            policy if adapters else open_policy(context, "sft"),
            (*split.kept, *split.sft),
            split.validation,
            grader=grader,
            run=run,
            sampler=_sampler(context, policy),
            adapters=adapters,
        )
        result, journal = trainer.train(context.progress)
    if workers.is_leader:
        publish_policy(policy, adapters, context.out)
        journal.publish(context.out)
    validations = {
        name: validation.metrics() if validation else None
        for name, validation in (("start", result.start), ("best", result.best))
    }
    return {**asdict(result), **validations, "kept_sessions": len(split.kept)}


def _sampler(context: StageContext, policy: Policy) -> SessionSampler:
    train = context.spec.train
    if train.grpo.rollouts == "transformers":
        return decode_sessions
    context.progress.update(0, train.grpo.updates, "starting vLLM for rollouts")
    return VllmSampler(policy, context.work / "rollouts", max_new_tokens=train.max_new_tokens)


def _grader(context: StageContext, workers: Workers) -> AbstractContextManager[Grader | None]:
    """The grader on the leader, which grades for all workers; None on the others."""
    if not workers.is_leader:
        return nullcontext()
    return open_grader(
        "rewarding",
        context.inputs["grader"],
        settings=context.spec.grader,
        pack=context.pack,
        work=context.work,
    )
