"""Supervised fine-tuning on expert turns: each session once per epoch, all its targets in the same pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from learntoask.core.errors import StageError
from learntoask.core.manifest import Distributed, Sft
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import Progress
from learntoask.policy.model import Policy
from learntoask.training.distributed.process_group import ALONE, Workers
from learntoask.training.field_order import session_order
from learntoask.training.journal import TrainingJournal
from learntoask.training.optim import checkpoint
from learntoask.training.optim.deepspeed import make_learner
from learntoask.training.optim.learner import Learner
from learntoask.training.optim.optimizer import Schedule, epoch_order
from learntoask.training.optim.token_budget import TokenBudget
from learntoask.training.sft.targets import SupervisedTrees, supervised_trees
from learntoask.training.tree.layout import MicroBatch, SessionTree, fill_micro_batches, pack_micro_batch

CHECKPOINT = "sft.pt"
BEST = "sft-best.pt"


@dataclass(frozen=True)
class SftRun:
    """One run's fixed parts. `work` outlives a killed attempt, and all workers see the same one."""

    settings: Sft
    seed: int
    precision: torch.dtype
    row_tokens: int
    checkpoint_every: int
    work: Path
    workers: Workers = ALONE
    distributed: Distributed = field(default_factory=Distributed)


@dataclass(frozen=True)
class SftResult:
    """`updates` made; the published weights are those of `best_update`, the lowest validation loss (or the last
    weights where there are no validation sessions). With 0 epochs the base model is published as it was."""

    updates: int
    best_update: int
    best_loss: float
    sessions: int
    fallbacks: int
    cut: int


def train(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    validation: Sequence[LabelledSession],
    *,
    run: SftRun,
    progress: Progress,
) -> tuple[SftResult, TrainingJournal]:
    """Train the policy's model in place and leave the best weights in it.

    Continues from `run.work` after a kill: the weights come out bit-identical to those of an uninterrupted run (same
    machine and thread count).

    Raises StageError when nothing can be trained or the loss is not finite.
    """
    model = policy.model
    plan = _Plan(policy, sessions, run)
    held_out = [tree for session in validation for tree in plan.plain(session).trees]
    if run.settings.epochs and not plan.usable:
        raise StageError(
            "no training session has a labelled turn to learn from; look at the quarantine of the label stage",
            reason="NothingToTrain",
        )
    updating = make_learner(
        model,
        weight_decay=run.settings.weight_decay,
        precision=run.precision,
        workers=run.workers,
        settings=run.distributed,
    )
    budget = TokenBudget(run.row_tokens)
    is_leader = run.workers.is_leader
    state = checkpoint.load(run.work / CHECKPOINT)
    update, best_update, best_loss = 0, 0, math.inf
    if state:
        updating.restore(state["weights"])
        updating.restore_state(state["optimiser"])
        torch.set_rng_state(state["rng"])
        update, best_update, best_loss = state["update"], state["best_update"], state["best_loss"]
    run.workers.check_same(update, what=f"the checkpoint in {run.work}")
    journal = TrainingJournal(run.work, start_at=update, writes=is_leader)
    schedule = plan.schedule()
    # Once an epoch, and at half the last one: where over-fitting, if any, begins.
    evaluations = {plan.per_epoch * (epoch + 1) for epoch in range(run.settings.epochs)}
    evaluations.add(schedule.total - plan.per_epoch // 2)
    model.train()
    while update < schedule.total:
        trees = plan.batch(update)
        loss, tokens = budget.attempt(partial(_accumulate, updating, trees), updating)
        rate = schedule.rate(update)
        norm = updating.apply(rate=rate, loss=loss, update=update)
        journal.write(update, "sft", loss=loss, gradient_norm=norm, learning_rate=rate, target_tokens=tokens)
        update += 1
        if held_out and update in evaluations:
            value = mean_loss(updating, held_out, budget.tokens)
            journal.write(update - 1, "validation", loss=value)
            if value < best_loss:
                best_update, best_loss = update, value
                checkpoint.save(run.work / BEST, updating.weights(), write=run.workers.saves)
        if update % run.checkpoint_every == 0 or update in evaluations:
            checkpoint.save(
                run.work / CHECKPOINT,
                {
                    "update": update,
                    "weights": updating.weights(),
                    "optimiser": updating.state(),
                    "rng": torch.get_rng_state(),
                    "best_update": best_update,
                    "best_loss": best_loss,
                },
                write=run.workers.saves,
            )
        progress.update(update, schedule.total, "SFT", loss=loss)
    run.workers.barrier()  # the leader has saved
    best = checkpoint.load(run.work / BEST)
    if best:
        updating.restore(best)
    updating.finish()
    return (
        SftResult(
            updates=update,
            best_update=best_update or update,
            best_loss=best_loss,
            sessions=len(plan.usable),
            fallbacks=plan.fallbacks,
            cut=plan.cut,
        ),
        journal,
    )


class _Plan:
    """What is trained in which update, as a function of the update's number."""

    def __init__(self, policy: Policy, sessions: Sequence[LabelledSession], run: SftRun) -> None:
        self._policy = policy
        self._run = run
        plain = [self.plain(session) for session in sessions]
        self.usable = [session for session, trees in zip(sessions, plain, strict=True) if trees.trees]
        self.fallbacks = sum(trees.fallbacks for trees in plain)
        self.cut = sum(trees.cut for trees in plain)
        self.per_epoch = math.ceil(len(self.usable) / run.settings.batch_sessions)

    def plain(self, session: LabelledSession) -> SupervisedTrees:
        return self._rendered(self._policy, session)

    def schedule(self) -> Schedule:
        total = self.per_epoch * self._run.settings.epochs
        return Schedule(
            peak=self._run.settings.learning_rate,
            warmup=math.ceil(total * self._run.settings.warmup_share),
            total=total,
            decay=self._run.settings.decay,
        )

    def batch(self, update: int) -> list[SessionTree]:
        epoch, position = divmod(update, self.per_epoch)
        size = self._run.settings.batch_sessions
        order = epoch_order(len(self.usable), seed=self._run.seed, epoch=epoch)
        chosen = [self.usable[index] for index in order[position * size : (position + 1) * size]]
        return [tree for session in chosen for tree in self._trees(session, epoch).trees]

    def _trees(self, session: LabelledSession, epoch: int) -> SupervisedTrees:
        if not self._run.settings.shuffle_fields:
            return self.plain(session)
        record = session.session
        pack = session_order(
            self._policy.pack, record.task, session_id=record.session_id, seed=self._run.seed, epoch=epoch
        )
        return self._rendered(replace(self._policy, pack=pack), session)

    def _rendered(self, policy: Policy, session: LabelledSession) -> SupervisedTrees:
        return supervised_trees(policy, session, turns=self._run.settings.turns)


def _rows(trees: Sequence[SessionTree], row_tokens: int) -> list[MicroBatch]:
    # Longest first: rows fill better, and the largest row shows at once whether memory suffices.
    ordered = sorted(trees, key=lambda tree: -tree.size)
    rows = fill_micro_batches([tree.size for tree in ordered], budget=row_tokens)
    return [pack_micro_batch([ordered[index] for index in row]) for row in rows]


def _accumulate(updating: Learner, trees: Sequence[SessionTree], row_tokens: int) -> tuple[float, int]:
    """Gradients of the mean loss over all target tokens of `trees`; returns (loss, target tokens)."""
    rows = _rows(trees, row_tokens)
    tokens = sum(len(row.targets) for row in rows)
    total = 0.0
    for row, counts, last in updating.share(rows):
        loss = -updating.scores(row).logprobs.sum() * counts / tokens
        updating.backward(loss, last=last)
        total += float(loss.detach())
    return updating.workers.all_reduce([total])[0], tokens


@torch.no_grad()
def mean_loss(updating: Learner, trees: Sequence[SessionTree], row_tokens: int) -> float:
    """Mean loss a target token."""
    updating.model.eval()
    rows = _rows(trees, row_tokens)
    total = sum(
        counts * float(updating.scores(row).logprobs.sum()) for row, counts, _ in updating.share(rows)
    )
    updating.model.train()
    return -updating.workers.all_reduce([total])[0] / sum(len(row.targets) for row in rows)
