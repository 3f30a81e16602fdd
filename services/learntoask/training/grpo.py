"""GRPO over session trees: sample, grade, score on packed rows, update; the SFT policy is start and anchor.

The baselines (`train.method`) differ in who is sampled and in the objective; everything else is the same loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from learntoask.core.errors import StageError
from learntoask.core.manifest import Distributed, Grpo, Method, Reward
from learntoask.core.records import LabelledSession
from learntoask.core.stage import Progress
from learntoask.grading.grades import Grader, require_answers
from learntoask.training import checkpoint, offline
from learntoask.training.adapters import Adapters
from learntoask.training.journal import Journal
from learntoask.training.memory import RowBudget
from learntoask.training.objective import Objective, RowFacts, objective
from learntoask.training.optimisation import Schedule, epoch_order
from learntoask.training.policy import Policy
from learntoask.training.precision import autocast
from learntoask.training.rollouts import (
    Batch,
    BatchFigures,
    Group,
    build_batch,
    figures,
    judge,
    sampled_points,
)
from learntoask.training.sampling import Completion, Draw, decode_sessions
from learntoask.training.scoring import score
from learntoask.training.tree import PackedRow
from learntoask.training.updating import copied
from learntoask.training.validation import Validation, better, validate
from learntoask.training.workers import ALONE, Workers
from learntoask.training.zero import updating_of

CHECKPOINT = "grpo.pt"
BEST = "grpo-best.pt"
COLLAPSED_SHARE = 0.8
"""Of a batch's answers that never end, or that are one and the same sentence: the policy has collapsed."""
MIN_ANSWERS = 24  # fewer may well be the same question
TITLES: dict[Method, str] = {"grpo": "GRPO", "dpo": "DPO", "rewardWeighted": "Reward-weighted SFT"}


@dataclass(frozen=True)
class GrpoRun:
    """One run's fixed parts. `work` outlives a killed attempt, and all workers see the same one."""

    settings: Grpo
    reward: Reward
    seed: int
    precision: torch.dtype
    row_tokens: int
    max_new_tokens: int
    max_missing_share: float
    checkpoint_every: int
    work: Path
    workers: Workers = ALONE
    distributed: Distributed = field(default_factory=Distributed)
    method: Method = "grpo"
    dpo_beta: float = 0.1

    @property
    def title(self) -> str:
        return TITLES[self.method]


@dataclass(frozen=True)
class GrpoResult:
    """`best_update` 0 means that no update beat the SFT policy, which is then published as it was."""

    updates: int
    best_update: int
    start: Validation | None
    best: Validation | None
    sessions: int
    missing_share: float
    fallbacks: int


@dataclass
class _Position:
    """What a checkpoint holds beside weights and optimiser."""

    update: int = 0
    best_update: int = 0
    start: Validation | None = None
    best: Validation | None = None
    graded: int = 0
    missing: int = 0
    fallbacks: int = 0

    def saved(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> _Position:
        known = {name: Validation(**saved[name]) if saved[name] else None for name in ("start", "best")}
        return cls(**{**saved, **known})


@dataclass
class _Rows:
    """A batch with, for each row of this worker, the log-probabilities under the SFT policy and, once they are known,
    under the policy that sampled."""

    batch: Batch
    references: list[Tensor]
    old: list[Tensor] = field(default_factory=list)


class Trainer:
    """The state of one run, as it moves from batch to batch."""

    def __init__(
        self,
        policy: Policy,
        reference: Policy,
        sessions: Sequence[LabelledSession],
        validation: Sequence[LabelledSession],
        *,
        grader: Grader | None,
        run: GrpoRun,
        adapters: Adapters | None = None,
        draw: Draw = decode_sessions,
    ) -> None:
        """With `adapters` in the policy's model, the reference is that model without them. `draw` samples."""
        if run.method != "grpo":  # its objectives take a completion as a whole, so stops are sampled too
            run = replace(run, settings=run.settings.model_copy(update={"credit": "plain"}))
        self.policy = policy
        self._reference = reference
        self._sessions = [session for session in sessions if self._points(session, run).samples]
        self._validation = validation
        self._grader = grader
        self._run = run
        self._adapters = adapters
        self._draw = draw
        self._workers = run.workers
        self._updating = updating_of(
            policy.model,
            weight_decay=0.0,
            precision=run.precision,
            workers=run.workers,
            settings=run.distributed,
        )
        self._budget = RowBudget(run.row_tokens)
        self._schedule = Schedule(
            peak=run.settings.learning_rate, warmup=2, total=run.settings.updates, decay="constant"
        )
        self._position = _Position()
        # What is validated and published; single updates swing between asking and stopping, their mean does not.
        self._mean = copied(self._updating.weights())

    @staticmethod
    def _points(session: LabelledSession, run: GrpoRun) -> LabelledSession:
        return sampled_points(session, run.settings, run.reward.mode)

    def train(self, progress: Progress) -> tuple[GrpoResult, Journal]:
        """Run to the end and leave the chosen weights in the policy. Continues from `run.work` after a kill.

        Raises StageError when nothing can be learned from, a loss is not finite, the KL explodes or the output
        collapses, TooManyMissing when too many grades are; the last good checkpoint stays.
        """
        if not self._sessions:
            raise StageError("no training session has a decision point to sample", reason="NothingToTrain")
        self._resume()
        here, settings = self._position, self._run.settings
        self._workers.check_same(here.update, what=f"the checkpoint in {self._run.work}")
        journal = Journal(self._run.work, start_at=here.update, writes=self._workers.leads)
        if settings.updates and here.start is None and self._validation:
            progress.update(here.update, settings.updates, "validating the SFT policy")
            here.start = here.best = self._validate(journal)
        while here.update < settings.updates:
            seen = self._update(journal)
            self._average()
            here.update += 1
            last = here.update == settings.updates
            if self._validation and (last or here.update % settings.validate_every == 0):
                self._consider(self._validate(journal))
            if last or here.update % self._run.checkpoint_every == 0:
                self._save()
            progress.update(here.update, settings.updates, self._run.title, reward=seen.reward, hit=seen.hit)
        self._choose()
        self._updating.finish()
        return (
            GrpoResult(
                updates=here.update,
                best_update=here.best_update if self._validation else here.update,
                start=here.start,
                best=here.best,
                sessions=len(self._sessions),
                missing_share=here.missing / here.graded if here.graded else 0.0,
                fallbacks=here.fallbacks,
            ),
            journal,
        )

    def _update(self, journal: Journal) -> BatchFigures:
        """One batch: sample, grade, and `steps_per_batch` updates of the weights."""
        run, update = self._run, self._position.update
        sessions = self._batch(update)
        asked = [self._points(session, run) for session in sessions]
        sampled = self._workers.gathered(self._sampled(self._workers.share(asked)))
        groups = self._workers.led(lambda: judge(asked, sampled, grader=self._grader, spec=run.reward))
        grades = [member.grade for group in groups for member in group.members]
        require_answers(
            grades, max_missing_share=run.max_missing_share, where=f"{run.title}, batch {update + 1}"
        )
        seen = figures(groups)
        _check_output(seen, answers=len(grades), run=run, update=update)
        batch, metrics = self._steps(sessions, groups)
        self._position.graded += len(grades)
        self._position.missing += sum(member.reward is None for group in groups for member in group.members)
        self._position.fallbacks += batch.fallbacks
        _check_kl(metrics["kl"], run=run, update=update)
        journal.write(
            update, run.method, **asdict(seen), **metrics, groups=batch.groups, skipped_groups=batch.skipped
        )
        return seen

    def _sampled(self, asked: Sequence[LabelledSession]) -> list[list[list[Completion]]]:
        """Completions of the policy or, for the baselines, of the SFT policy."""
        run, offline_sampling = self._run, self._run.method != "grpo"
        without_adapters = self._adapters.disabled() if self._adapters and offline_sampling else nullcontext()
        with self._updating.whole(), without_adapters, autocast(run.precision, self.policy.model.device):
            # `draw` may be an engine that follows the policy's weights.
            return (decode_sessions if offline_sampling else self._draw)(
                self._reference if offline_sampling else self.policy,
                asked,
                samples=run.settings.group_size,
                temperature=run.settings.temperature,
                max_new_tokens=run.max_new_tokens,
                seed=run.seed * 100_003 + self._position.update,
            )

    def _batch(self, update: int) -> list[LabelledSession]:
        size = min(self._run.settings.batch_sessions, len(self._sessions))
        per_epoch = len(self._sessions) // size
        epoch, position = divmod(update, per_epoch)
        order = epoch_order(len(self._sessions), seed=self._run.seed, epoch=epoch)
        return [self._sessions[index] for index in order[position * size : (position + 1) * size]]

    def _steps(
        self, sessions: Sequence[LabelledSession], groups: Sequence[Group]
    ) -> tuple[Batch, dict[str, float]]:
        """Make the updates of one batch; returns its rows and the figures of the last update."""
        settings, update = self._run.settings, self._position.update

        def rows(row_tokens: int) -> _Rows:
            batch = build_batch(
                self.policy,
                sessions,
                groups,
                settings=settings,
                row_tokens=row_tokens,
                method=self._run.method,
            )
            return _Rows(
                batch, [self._reference_logprobs(row.row) for row, *_ in self._updating.share(batch.rows)]
            )

        def first(row_tokens: int) -> tuple[_Rows, dict[str, float]]:
            made = rows(row_tokens)
            return made, self._gradients(made)

        self.policy.model.train()
        for step in range(settings.steps_per_batch):
            if step == 0:
                made, metrics = self._budget.attempt(first, self._updating)
            else:
                metrics = self._gradients(made)
            metrics["gradient_norm"] = self._updating.apply(
                rate=self._schedule.rate(update), loss=metrics["loss"], update=update
            )
        self.policy.model.eval()
        return made.batch, metrics

    def _gradients(self, made: _Rows) -> dict[str, float]:
        """Gradients of all rows; remembers the log-probabilities of the first time."""
        settings = self._run.settings
        parts: list[tuple[Objective, float]] = []
        entropy = scored_tokens = 0.0
        first = not made.old
        for index, (scored, counts, last) in enumerate(self._updating.share(made.batch.rows)):
            scores = self._updating.scores(scored.row, temperature=settings.temperature)
            part = self._objective(
                scores.logprobs,
                old=None if first else made.old[index],
                reference=made.references[index],
                facts=scored.facts,
            )
            self._updating.backward(part.loss * counts, last=last)
            if first:
                made.old.append(scores.logprobs.detach())
            parts.append((part, counts))
            entropy += counts * float(scores.entropies.sum())
            scored_tokens += counts * len(scores.entropies)
        return _figures(parts, entropy, scored_tokens, self._workers)

    def _objective(
        self, logprobs: Tensor, *, old: Tensor | None, reference: Tensor, facts: RowFacts
    ) -> Objective:
        if self._run.method == "dpo":
            return offline.dpo(logprobs, reference=reference, facts=facts, beta=self._run.dpo_beta)
        if self._run.method == "rewardWeighted":
            return offline.reward_weighted(logprobs, reference=reference, facts=facts)
        return objective(logprobs, old=old, reference=reference, facts=facts, settings=self._run.settings)

    @torch.no_grad()
    def _reference_logprobs(self, row: PackedRow) -> Tensor:
        temperature = self._run.settings.temperature
        if self._adapters:
            with self._adapters.disabled():
                return self._updating.scores(row, temperature=temperature).logprobs
        with autocast(self._run.precision, self._reference.model.device):
            return score(self._reference.model, row, temperature=temperature).logprobs

    def _average(self) -> None:
        """Move the mean towards the weights of this update."""
        new = 1 - self._run.settings.averaging
        for name, weight in self._updating.weights().items():
            self._mean[name].lerp_(weight, new)

    def _validate(self, journal: Journal) -> Validation:
        current = copied(self._updating.weights())
        self._updating.restore(self._mean)
        with self._updating.whole(), autocast(self._run.precision, self.policy.model.device):
            found = validate(
                self.policy,
                self._validation,
                grader=self._grader,
                max_new_tokens=self._run.max_new_tokens,
                max_missing_share=self._run.max_missing_share,
                workers=self._workers,
            )
        self._updating.restore(current)
        journal.write(max(self._position.update - 1, 0), "validation", **found.metrics())
        return found

    def _consider(self, found: Validation) -> None:
        here, settings = self._position, self._run.settings
        if better(
            found,
            than=here.best,
            start=here.start,
            max_stop_loss=settings.max_stop_loss,
            confidence=settings.confidence,
        ):
            here.best, here.best_update = found, here.update
            checkpoint.save(self._run.work / BEST, self._mean, write=self._workers.saves)

    def _choose(self) -> None:
        """Put the chosen weights into the policy: the best validated mean, or the SFT policy's."""
        if not self._validation:
            self._updating.restore(self._mean)
            return
        self._workers.meet()  # the leader has saved
        best = checkpoint.load(self._run.work / BEST) if self._position.best_update else None
        self._updating.restore(best or self._untrained())

    def _untrained(self) -> checkpoint.State:
        if self._adapters:
            return self._adapters.untrained(self._updating.weights())
        return checkpoint.weights(self._reference.model)

    def _save(self) -> None:
        checkpoint.save(
            self._run.work / CHECKPOINT,
            {
                "position": self._position.saved(),
                "weights": self._updating.weights(),
                "mean": self._mean,
                "optimiser": self._updating.state(),
                "rng": torch.get_rng_state(),
            },
            write=self._workers.saves,
        )

    def _resume(self) -> None:
        state = checkpoint.load(self._run.work / CHECKPOINT)
        if state is None:
            return
        self._updating.restore(state["weights"])
        self._mean = {name: weight.to(self._mean[name].device) for name, weight in state["mean"].items()}
        self._updating.restore_state(state["optimiser"])
        torch.set_rng_state(state["rng"])
        self._position = _Position.restored(state["position"])


def _figures(
    parts: Sequence[tuple[Objective, float]], entropy: float, scored_tokens: float, workers: Workers
) -> dict[str, float]:
    """Figures of a batch from those of this worker's rows."""

    def sums(values: Iterable[tuple[float, float]]) -> float:
        return sum(value * counts for value, counts in values)

    loss, kl, stop_kl, clipped, off_policy, entropy, tokens, stops, stop_points, asks, ask_points = (
        workers.summed(
            [
                sums((float(part.loss.detach()), counts) for part, counts in parts),
                sums((part.kl, counts) for part, counts in parts),
                sums((part.stop_kl, counts) for part, counts in parts),
                sums((part.clipped, counts) for part, counts in parts),
                sums((part.off_policy, counts) for part, counts in parts),
                entropy,
                scored_tokens,
                *(sums((part.right_stops[at], counts) for part, counts in parts) for at in (0, 1)),
                *(sums((part.right_asks[at], counts) for part, counts in parts) for at in (0, 1)),
            ]
        )
    )
    return {
        "loss": loss,
        "kl": kl,
        "stop_kl": stop_kl,
        "clipped": clipped,
        "off_policy": off_policy,
        "entropy": entropy / max(tokens, 1),
        "right_stops": stops / max(stop_points, 1),
        "right_asks": asks / max(ask_points, 1),
    }


def _check_output(seen: BatchFigures, *, answers: int, run: GrpoRun, update: int) -> None:
    """Raise StageError when the output of the policy that is sampled has collapsed."""
    findings = {
        f"{seen.unfinished:.0%} of the answers never end": seen.unfinished > COLLAPSED_SHARE,
        f"{seen.commonest:.0%} of the answers are the same sentence": seen.commonest > COLLAPSED_SHARE
        and answers >= MIN_ANSWERS,
    }
    for finding, present in findings.items():
        if present:
            raise StageError(
                f"{run.title}, batch {update + 1}: {finding}; "
                + (
                    "the policy has collapsed. The last good checkpoint is kept; lower "
                    "spec.train.grpo.learningRate or raise klCoefficient"
                    if update and run.method == "grpo"
                    else "the SFT policy itself cannot answer yet. Raise spec.train.sft.epochs or learningRate, or "
                    "spec.train.maxNewTokens"
                ),
                reason="CollapsedOutput",
            )


def _check_kl(kl: float, *, run: GrpoRun, update: int) -> None:
    limit = run.settings.max_kl
    if kl > limit:
        raise StageError(
            f"{run.title}, batch {update + 1}: the KL to the SFT policy is {kl:.2f} nats a token (allowed {limit}). "
            "The last good checkpoint is kept; lower spec.train.grpo.learningRate or raise "
            f"{'spec.train.dpo.beta' if run.method == 'dpo' else 'klCoefficient'}",
            reason="ExplodingKL",
        )
