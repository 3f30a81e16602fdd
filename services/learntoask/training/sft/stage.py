"""Stage `sft`: fine-tune the base model on the experts' own turns."""

from __future__ import annotations

from dataclasses import asdict

from transformers.utils import logging as transformers_logging

from learntoask.core.json_lines import read_records
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.labeling.corruption import corrupt
from learntoask.training.distributed.launch import run_on_workers
from learntoask.training.distributed.process_group import Workers
from learntoask.training.optim.token_budget import row_tokens
from learntoask.training.policy_folder import open_trainable, publish_policy
from learntoask.training.run import TrainingRun
from learntoask.training.sft.targets import split_for_training
from learntoask.training.sft.trainer import SftTrainer


def run(context: StageContext) -> StageSummary:
    """Publish `model/`, `metrics.jsonl` and `tensorboard/`. Raises StageError as `SftTrainer` does."""
    return run_on_workers(context, _train, module=__name__)


def _train(context: StageContext, workers: Workers) -> StageSummary:
    transformers_logging.disable_progress_bar()
    train = context.spec.train
    policy, adapters, precision = open_trainable(context, "fetch", workers)
    split = split_for_training(training_sessions(context), kept_share=train.kept_share, seed=train.seed)
    run = TrainingRun(
        train=train,
        precision=precision,
        row_tokens=row_tokens(train.row_tokens, policy.model.device),
        work=context.work,
        workers=workers,
    )
    result, journal = SftTrainer(policy, split.sft, split.validation, run=run).train(context.progress)
    if workers.is_leader:
        publish_policy(policy, adapters, context.out)
        journal.publish(context.out)
    return {
        "precision": str(precision).removeprefix("torch."),
        "validation_sessions": len(split.validation),
        "kept_for_grpo": len(split.kept),
        **{name: value for name, value in asdict(result).items() if value != float("inf")},
    }


def training_sessions(context: StageContext) -> list[LabelledSession]:
    """Return the labelled sessions, with the faults that `spec.dataset.corrupt` asks for put into them.

    With `spec.calibrate` they are in the labels already, because people have reviewed them.
    """
    labelled = list(read_records(context.inputs["label"] / "labelled.jsonl", LabelledSession))
    settings = context.spec.dataset.corrupt
    if not settings.active or getattr(context.spec, "calibrate", None) is not None:
        return labelled
    return list(corrupt(labelled, settings=settings, pack=context.pack))
