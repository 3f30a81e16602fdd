"""Supervised fine-tuning (SFT) on expert turns: every session once an epoch, with all its targets in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from learntoask.core.errors import StageError
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import Progress
from learntoask.policy.model import Policy
from learntoask.training.journal import TrainingJournal
from learntoask.training.optim import checkpoint
from learntoask.training.optim.deepspeed import make_learner
from learntoask.training.optim.learner import Learner
from learntoask.training.optim.token_budget import TokenBudget
from learntoask.training.run import TrainingRun
from learntoask.training.sft.batches import SftBatches, pack_trees
from learntoask.training.tree.layout import SessionTree

CHECKPOINT = "sft.pt"
BEST = "sft-best.pt"


@dataclass(frozen=True)
class SftResult:
    """What SFT did. The published weights are those after `best_update` updates.

    That is the update of the lowest validation loss (`best_loss`, nats a target token), or the last one where there are
    no validation sessions. With 0 epochs the base model is published unchanged. `later`, `fallbacks`, `cut` and
    `cut_answers` count as in `targets.SupervisedTrees`.
    """

    updates: int
    best_update: int
    best_loss: float
    sessions: int
    later: int
    fallbacks: int
    cut: int
    cut_answers: int


class SftTrainer:
    """Trains the policy's model in place.

    A killed run continues from its checkpoint, and its weights come out bit-identical to those of an uninterrupted run
    (same machine, same number of threads).
    """

    def __init__(
        self,
        policy: Policy,
        sessions: Sequence[LabelledSession],
        validation: Sequence[LabelledSession],
        *,
        run: TrainingRun,
    ) -> None:
        """Raises StageError (NothingToTrain) when no session has a target."""
        self._policy = policy
        self._run = run
        self._batches = SftBatches(policy, sessions, run)
        self._held_out = [tree for session in validation for tree in self._batches.validation_trees(session)]
        if run.train.sft.epochs and not self._batches.usable:
            raise StageError(
                "no training session has a labelled turn to learn from; look at the quarantine of the label stage",
                reason="NothingToTrain",
            )
        self._schedule = self._batches.schedule()
        self._learner = make_learner(
            policy.model,
            weight_decay=run.train.sft.weight_decay,
            precision=run.precision,
            workers=run.workers,
            settings=run.train.distributed,
        )
        self._budget = TokenBudget(run.row_tokens)
        self._update = 0
        self._best_update = 0
        self._best_loss = math.inf

    def train(self, progress: Progress) -> tuple[SftResult, TrainingJournal]:
        """Train to the end and leave the best weights in the policy. Raises StageError when a loss is not finite."""
        run, total = self._run, self._schedule.total
        self._restore()
        run.workers.check_same(self._update, what=f"the checkpoint in {run.work}")
        journal = TrainingJournal(run.work, start_at=self._update, writes=run.workers.is_leader)
        validate_after = self._batches.validation_updates()
        self._policy.model.train()
        while self._update < total:
            loss = self._step(journal)
            if self._held_out and self._update in validate_after:
                self._validate(journal)
            if self._update % run.train.checkpoint_every == 0 or self._update in validate_after:
                self._save()
            progress.update(self._update, total, "SFT", loss=loss)
        self._choose()
        return self._result(), journal

    def _step(self, journal: TrainingJournal) -> float:
        """Make one update of the weights; returns its loss."""
        update, rate = self._update, self._schedule.rate(self._update)
        compute = partial(add_gradients, self._learner, self._batches.batch(update))
        loss, tokens = self._budget.attempt(compute, self._learner)
        norm = self._learner.step(rate=rate, loss=loss, update=update)
        journal.write(update, "sft", loss=loss, gradient_norm=norm, learning_rate=rate, target_tokens=tokens)
        self._update += 1
        return loss

    def _validate(self, journal: TrainingJournal) -> None:
        """Save the weights where their loss on the validation sessions is the lowest so far."""
        loss = mean_loss(self._learner, self._held_out, self._budget.tokens)
        journal.write(self._update - 1, "validation", loss=loss)
        if loss < self._best_loss:
            self._best_update, self._best_loss = self._update, loss
            checkpoint.save(self._run.work / BEST, self._learner.weights(), write=self._run.workers.saves)

    def _choose(self) -> None:
        """Load the best weights, where a validation saved some."""
        self._run.workers.barrier()  # until the leader has saved them
        best = checkpoint.load(self._run.work / BEST)
        if best:
            self._learner.load_weights(best)
        self._learner.finish()

    def _save(self) -> None:
        checkpoint.save(
            self._run.work / CHECKPOINT,
            {
                "update": self._update,
                "weights": self._learner.weights(),
                "optimiser": self._learner.optimiser_state(),
                "rng": torch.get_rng_state(),
                "best_update": self._best_update,
                "best_loss": self._best_loss,
            },
            write=self._run.workers.saves,
        )

    def _restore(self) -> None:
        state = checkpoint.load(self._run.work / CHECKPOINT)
        if state is None:
            return
        self._learner.load_weights(state["weights"])
        self._learner.load_optimiser_state(state["optimiser"])
        torch.set_rng_state(state["rng"])
        self._update = state["update"]
        self._best_update, self._best_loss = state["best_update"], state["best_loss"]

    def _result(self) -> SftResult:
        return SftResult(
            updates=self._update,
            best_update=self._best_update or self._update,
            best_loss=self._best_loss,
            sessions=len(self._batches.usable),
            later=self._batches.later,
            fallbacks=self._batches.fallbacks,
            cut=self._batches.cut,
            cut_answers=self._batches.cut_answers,
        )


def add_gradients(learner: Learner, trees: Sequence[SessionTree], row_tokens: int) -> tuple[float, int]:
    """Add the gradients of the weighted mean loss over all target tokens of `trees`; returns (loss, target tokens)."""
    micro_batches = pack_trees(trees, row_tokens)
    tokens = sum(len(micro_batch.targets) for micro_batch in micro_batches)
    whole = sum(float(micro_batch.token_weights.sum()) for micro_batch in micro_batches)
    total = 0.0
    for micro_batch, weight, is_last in learner.share(micro_batches):
        logprobs = learner.forward(micro_batch).logprobs
        of_tokens = torch.from_numpy(micro_batch.token_weights).to(logprobs)
        loss = -(logprobs * of_tokens).sum() * weight / whole
        learner.backward(loss, is_last=is_last)
        total += float(loss.detach())
    return learner.workers.all_reduce([total])[0], tokens


@torch.no_grad()
def mean_loss(learner: Learner, trees: Sequence[SessionTree], row_tokens: int) -> float:
    """Return the mean loss in nats a target token of `trees`, over all workers."""
    learner.model.eval()
    micro_batches = pack_trees(trees, row_tokens)
    total = sum(
        weight * float(learner.forward(micro_batch).logprobs.sum())
        for micro_batch, weight, _ in learner.share(micro_batches)
    )
    learner.model.train()
    tokens = sum(len(micro_batch.targets) for micro_batch in micro_batches)
    return -learner.workers.all_reduce([total])[0] / tokens
