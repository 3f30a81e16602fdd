"""Stage `grpo`: improve the SFT policy by reinforcement on its own graded samples, or by a baseline's method."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace

from transformers.utils import logging as transformers_logging

from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import Progress, StageContext, StageSummary
from learntoask.core.stages.policy_choice import publish_choice
from learntoask.core.stages.warnings_file import publish_warnings
from learntoask.decoding.sessions import SessionSampler, decode_sessions
from learntoask.grader_service.grader_source import open_grader
from learntoask.grading.cues import read_cues, write_cues
from learntoask.grading.grades import Grader
from learntoask.policy.model import Policy
from learntoask.policy.stopping import Stopping, publish_stopping
from learntoask.training.distributed.launch import run_on_workers
from learntoask.training.distributed.process_group import Workers
from learntoask.training.grpo.run import GrpoRun
from learntoask.training.grpo.stop_threshold import measure, recalibrated, stopping_of
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
    split = split_for_training(training_sessions(context), kept_share=train.kept_share, seed=train.seed)
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
        held_back = (*split.validation, *split.kept)
        stopping = _choose_stopping(policy, held_back, grader=grader, run=run, progress=context.progress)
        if stopping is not None:
            policy = replace(policy, limits=replace(policy.limits, stop_threshold=stopping.threshold))
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
    choice = result.choice(run.title, validated=bool(split.validation))
    if workers.is_leader:
        publish_choice(context.out, choice)
        if stopping is not None:
            if choice.policy == "grpo":
                stopping = recalibrated(stopping, policy, split.validation, precision=precision)
            publish_stopping(context.out, stopping)
        publish_policy(policy, adapters, context.out)
        # The policy server tells questions as the grader does that rewarded them.
        write_cues(context.out / "model", read_cues(context.inputs["grader"] / "rewarding"))
        journal.publish(context.out)
    validations = {
        name: validation.metrics() if validation else None
        for name, validation in (("start", result.start), ("best", result.best))
    }
    warnings = list(result.warnings)
    if workers.is_leader:
        publish_warnings(context.out, warnings)
    summary = {**asdict(result), **validations, "kept_sessions": len(split.kept)}
    summary.pop("warnings")
    summary |= {"published": choice.policy, "refusal": choice.reason if choice.policy == "sft" else ""}
    return {**summary, "warnings": [*warnings]} if warnings else summary


def _choose_stopping(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    *,
    grader: Grader | None,
    run: GrpoRun,
    progress: Progress,
) -> Stopping | None:
    """Choose how the SFT policy stops, None unless `stopThreshold` is `auto` and the policy may stop."""
    if run.train.stop_threshold != "auto" or not policy.limits.may_stop or not sessions:
        return None
    progress.update(0, run.settings.updates, "choosing the stop threshold")
    points = measure(
        policy,
        sessions,
        grader=grader,
        max_new_tokens=run.train.max_new_tokens,
        precision=run.precision,
        workers=run.workers,
    )
    return stopping_of(run.train, points, sessions=len(sessions))


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
