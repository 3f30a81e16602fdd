"""GRPO over session trees: sample, grade, score on packed rows, update; the SFT policy is start and anchor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from learntoask.core.errors import StageError
from learntoask.core.manifest import Grpo, Reward
from learntoask.core.records import LabelledSession
from learntoask.core.stage import Progress
from learntoask.grading.grades import Grader, require_answers
from learntoask.training import checkpoint
from learntoask.training.journal import Journal
from learntoask.training.objective import objective
from learntoask.training.optimisation import Schedule, adamw, apply_update, epoch_order
from learntoask.training.policy import Policy
from learntoask.training.precision import autocast
from learntoask.training.rollouts import (
    Batch,
    BatchFigures,
    build_batch,
    figures,
    judge,
    sampled_points,
)
from learntoask.training.sampling import decode_sessions
from learntoask.training.scoring import score
from learntoask.training.tree import PackedRow
from learntoask.training.validation import Validation, better, validate

MAX_GRADIENT_NORM = 1.0
CHECKPOINT = "grpo.pt"
BEST = "grpo-best.pt"
COLLAPSED_SHARE = 0.8
"""Of a batch's answers that never end, or that are one and the same sentence: the policy has collapsed."""
MIN_ANSWERS = 24  # fewer may well be the same question


@dataclass(frozen=True)
class GrpoRun:
    """One run's fixed parts. `work` outlives a killed attempt."""

    settings: Grpo
    reward: Reward
    seed: int
    precision: torch.dtype
    row_tokens: int
    max_new_tokens: int
    max_missing_share: float
    checkpoint_every: int
    work: Path


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


class Trainer:
    """The state of one run, as it moves from batch to batch."""

    def __init__(
        self,
        policy: Policy,
        reference: Policy,
        sessions: Sequence[LabelledSession],
        validation: Sequence[LabelledSession],
        *,
        grader: Grader,
        run: GrpoRun,
    ) -> None:
        self.policy = policy
        self._reference = reference
        self._sessions = [session for session in sessions if self._points(session, run).samples]
        self._validation = validation
        self._grader = grader
        self._run = run
        self._optimiser = adamw(policy.model, weight_decay=0.0)
        self._schedule = Schedule(
            peak=run.settings.learning_rate, warmup=2, total=run.settings.updates, decay="constant"
        )
        self._position = _Position()
        # What is validated and published; single updates swing between asking and stopping, their mean does not.
        self._mean = _copied(policy.model)

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
        journal = Journal(self._run.work, start_at=here.update)
        if here.start is None and self._validation:
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
            progress.update(here.update, settings.updates, "GRPO", reward=seen.reward, hit=seen.hit)
        self._choose()
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
        run, settings, update = self._run, self._run.settings, self._position.update
        sessions = self._batch(update)
        asked = [self._points(session, run) for session in sessions]
        with autocast(run.precision, self.policy.model.device):
            sampled = decode_sessions(
                self.policy,
                asked,
                samples=settings.group_size,
                temperature=settings.temperature,
                max_new_tokens=run.max_new_tokens,
                seed=run.seed * 100_003 + update,
            )
        groups = judge(asked, sampled, grader=self._grader, spec=run.reward)
        grades = [member.grade for group in groups for member in group.members]
        require_answers(grades, max_missing_share=run.max_missing_share, where=f"GRPO, batch {update + 1}")
        seen = figures(groups)
        _check_output(seen, answers=len(grades), update=update)
        batch = build_batch(self.policy, sessions, groups, settings=settings, row_tokens=run.row_tokens)
        self._position.graded += len(grades)
        self._position.missing += sum(member.reward is None for group in groups for member in group.members)
        self._position.fallbacks += batch.fallbacks
        metrics = self._steps(batch)
        _check_kl(metrics["kl"], limit=settings.max_kl, update=update)
        journal.write(
            update, "grpo", **asdict(seen), **metrics, groups=batch.groups, skipped_groups=batch.skipped
        )
        return seen

    def _batch(self, update: int) -> list[LabelledSession]:
        size = min(self._run.settings.batch_sessions, len(self._sessions))
        per_epoch = len(self._sessions) // size
        epoch, position = divmod(update, per_epoch)
        order = epoch_order(len(self._sessions), seed=self._run.seed, epoch=epoch)
        return [self._sessions[index] for index in order[position * size : (position + 1) * size]]

    def _steps(self, batch: Batch) -> dict[str, float]:
        model, settings = self.policy.model, self._run.settings
        references = [self._logprobs(self._reference, scored.row) for scored in batch.rows]
        old: list[Tensor | None] = [None] * len(batch.rows)
        metrics: dict[str, float] = {}
        for step in range(settings.steps_per_batch):
            model.train()
            totals = {"loss": 0.0, "kl": 0.0, "stop_kl": 0.0, "clipped": 0.0}
            entropies = []
            parts = []
            for index, scored in enumerate(batch.rows):
                with autocast(self._run.precision, model.device):
                    scores = score(model, scored.row, temperature=settings.temperature)
                part = objective(
                    scores.logprobs,
                    old=old[index],
                    reference=references[index],
                    facts=scored.facts,
                    settings=settings,
                )
                part.loss.backward()
                if step == 0:
                    old[index] = scores.logprobs.detach()
                entropies.append(scores.entropies)
                parts.append(part)
                totals["loss"] += float(part.loss.detach())
                totals["kl"] += part.kl
                totals["stop_kl"] += part.stop_kl
                totals["clipped"] += part.clipped
            rate = self._schedule.rate(self._position.update)
            norm = apply_update(
                model,
                self._optimiser,
                rate=rate,
                max_norm=MAX_GRADIENT_NORM,
                loss=totals["loss"],
                update=self._position.update,
            )
            metrics = {
                **totals,
                "gradient_norm": norm,
                "entropy": float(torch.cat(entropies).mean()),
                "right_stops": _share([part.right_stops for part in parts]),
                "right_asks": _share([part.right_asks for part in parts]),
            }
        return metrics

    @torch.no_grad()
    def _logprobs(self, policy: Policy, row: PackedRow) -> Tensor:
        with autocast(self._run.precision, policy.model.device):
            return score(policy.model, row, temperature=self._run.settings.temperature).logprobs

    def _average(self) -> None:
        """Move the mean towards the weights of this update."""
        new = 1 - self._run.settings.averaging
        for name, weight in checkpoint.weights(self.policy.model).items():
            self._mean[name].lerp_(weight, new)

    def _validate(self, journal: Journal) -> Validation:
        model = self.policy.model
        current = _copied(model)
        checkpoint.restore_weights(model, self._mean)
        with autocast(self._run.precision, model.device):
            found = validate(
                self.policy,
                self._validation,
                grader=self._grader,
                max_new_tokens=self._run.max_new_tokens,
                max_missing_share=self._run.max_missing_share,
            )
        checkpoint.restore_weights(model, current)
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
            checkpoint.save(self._run.work / BEST, self._mean)

    def _choose(self) -> None:
        """Put the chosen weights into the policy: the best validated mean, or the SFT policy's."""
        if not self._validation:
            checkpoint.restore_weights(self.policy.model, self._mean)
            return
        best = checkpoint.load(self._run.work / BEST) if self._position.best_update else None
        checkpoint.restore_weights(self.policy.model, best or checkpoint.weights(self._reference.model))

    def _save(self) -> None:
        checkpoint.save(
            self._run.work / CHECKPOINT,
            {
                "position": self._position.saved(),
                "weights": checkpoint.weights(self.policy.model),
                "mean": self._mean,
                "optimiser": self._optimiser.state_dict(),
                "rng": torch.get_rng_state(),
            },
        )

    def _resume(self) -> None:
        state = checkpoint.load(self._run.work / CHECKPOINT)
        if state is None:
            return
        checkpoint.restore_weights(self.policy.model, state["weights"])
        self._mean = {name: weight.to(self._mean[name].device) for name, weight in state["mean"].items()}
        self._optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["rng"])
        self._position = _Position.restored(state["position"])


def _copied(model: PreTrainedModel) -> checkpoint.State:
    return {name: weight.clone() for name, weight in checkpoint.weights(model).items()}


def _share(parts: list[tuple[float, int]]) -> float:
    return sum(part for part, _ in parts) / max(1, sum(count for _, count in parts))


def _check_output(seen: BatchFigures, *, answers: int, update: int) -> None:
    """Raise StageError when the policy's output has collapsed."""
    findings = {
        f"{seen.unfinished:.0%} of the answers never end": seen.unfinished > COLLAPSED_SHARE,
        f"{seen.commonest:.0%} of the answers are the same sentence": seen.commonest > COLLAPSED_SHARE
        and answers >= MIN_ANSWERS,
    }
    for finding, present in findings.items():
        if present:
            raise StageError(
                f"GRPO, batch {update + 1}: {finding}; "
                + (
                    "the policy has collapsed. The last good checkpoint is kept; lower "
                    "spec.train.grpo.learningRate or raise klCoefficient"
                    if update
                    else "the SFT policy itself cannot answer yet. Raise spec.train.sft.epochs or learningRate, or "
                    "spec.train.maxNewTokens"
                ),
                reason="CollapsedOutput",
            )


def _check_kl(kl: float, *, limit: float, update: int) -> None:
    if kl > limit:
        raise StageError(
            f"GRPO, batch {update + 1}: the KL to the SFT policy is {kl:.2f} nats a token (allowed {limit}). The last "
            "good checkpoint is kept; lower spec.train.grpo.learningRate or raise klCoefficient",
            reason="ExplodingKL",
        )
