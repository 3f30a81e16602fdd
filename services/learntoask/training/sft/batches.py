"""The batches of SFT: which session trees each update trains, as a function of the update's number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from learntoask.core.records import LabelledSession
from learntoask.policy.model import Policy
from learntoask.training.field_order import session_order
from learntoask.training.optim.optimizer import Schedule, epoch_order
from learntoask.training.run import TrainingRun
from learntoask.training.sft.hindsight import HindsightTargets
from learntoask.training.sft.targets import SupervisedTrees, supervised_trees
from learntoask.training.tree.layout import MicroBatch, SessionTree, fill_micro_batches, pack_micro_batch


class SftBatches:
    """The batches of a run. A resumed run needs no stored position, because each batch follows from its number.

    `usable` are the sessions with a target. `later`, `fallbacks`, `cut` and `cut_answers` count as in
    `SupervisedTrees`.
    """

    def __init__(self, policy: Policy, sessions: Sequence[LabelledSession], run: TrainingRun) -> None:
        self._policy = policy
        self._settings = run.train.sft
        self._seed = run.train.seed
        weight = self._settings.hindsight_weight if self._settings.targets == "hindsight" else None
        self._hindsight = (
            None if self._settings.targets == "next" else HindsightTargets.of(sessions, weight=weight)
        )
        trees = [self.trees(session) for session in sessions]
        self.usable = [session for session, found in zip(sessions, trees, strict=True) if found.trees]
        self.later = sum(found.later for found in trees)
        self.fallbacks = sum(found.fallbacks for found in trees)
        self.cut = sum(found.cut for found in trees)
        self.cut_answers = sum(found.cut_answers for found in trees)
        self.per_epoch = math.ceil(len(self.usable) / self._settings.batch_sessions)

    def schedule(self) -> Schedule:
        """Return the learning rates of all updates of the run."""
        total = self.per_epoch * self._settings.epochs
        return Schedule(
            peak=self._settings.learning_rate,
            warmup=math.ceil(total * self._settings.warmup_share),
            total=total,
            decay=self._settings.decay,
        )

    def validation_updates(self) -> set[int]:
        """Return after how many updates to validate.

        That is once an epoch and in the middle of the last one, where over-fitting, if any, begins.
        """
        epochs = self._settings.epochs
        return {self.per_epoch * (epoch + 1) for epoch in range(epochs)} | {
            self.per_epoch * epochs - self.per_epoch // 2
        }

    def batch(self, update: int) -> list[SessionTree]:
        """Return the trees of `update`, counted from 0, with the fields of its epoch's prompts in a new order."""
        epoch, position = divmod(update, self.per_epoch)
        size = self._settings.batch_sessions
        order = epoch_order(len(self.usable), seed=self._seed, epoch=epoch)
        chosen = [self.usable[index] for index in order[position * size : (position + 1) * size]]
        return [tree for session in chosen for tree in self.trees(session, epoch=epoch).trees]

    def trees(self, session: LabelledSession, *, epoch: int | None = None) -> SupervisedTrees:
        """Return the trees of `session`; with `epoch`, its prompts list the fields in that epoch's order."""
        policy = self._policy
        if epoch is not None and self._settings.shuffle_fields:
            record = session.session
            pack = session_order(
                policy.pack, record.task, session_id=record.session_id, seed=self._seed, epoch=epoch
            )
            policy = replace(policy, pack=pack)
        return supervised_trees(policy, session, turns=self._settings.turns, hindsight=self._hindsight)

    def validation_trees(self, session: LabelledSession) -> tuple[SessionTree, ...]:
        """Return the trees without further answers, so that runs with and without hindsight can be compared."""
        replaced = self._hindsight if self._settings.targets == "question" else None
        return supervised_trees(self._policy, session, turns=self._settings.turns, hindsight=replaced).trees


def pack_trees(trees: Sequence[SessionTree], row_tokens: int) -> list[MicroBatch]:
    """Pack `trees` into micro-batches of at most `row_tokens` tokens (a larger tree gets one for itself)."""
    # Longest first: micro-batches fill better, and the largest shows at once whether memory suffices.
    ordered = sorted(trees, key=lambda tree: -tree.size)
    groups = fill_micro_batches([tree.size for tree in ordered], budget=row_tokens)
    return [pack_micro_batch([ordered[index] for index in group]) for group in groups]
