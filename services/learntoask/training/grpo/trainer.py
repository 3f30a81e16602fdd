"""GRPO over session trees: sample, grade, score packed trees, update.

The policy starts from the SFT policy, which is also the reference of its KL. The baselines (`train.method`) sample from
the SFT policy and have another loss; everything else is the same loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace

import torch

from learntoask.core.errors import StageError
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import Progress
from learntoask.decoding.sessions import SampledAnswer, SamplingParams, SessionSampler, decode_sessions
from learntoask.grading.grades import Grader, require_answers
from learntoask.policy.model import Policy
from learntoask.policy.precision import autocast
from learntoask.training.field_order import update_order
from learntoask.training.grpo.guards import check_kl, check_output
from learntoask.training.grpo.run import GrpoResult, GrpoRun, Position
from learntoask.training.grpo.samples import (
    AnswerGroup,
    BatchFigures,
    batch_figures,
    grade_samples,
    sampled_points,
)
from learntoask.training.grpo.update import BatchUpdates
from learntoask.training.grpo.validation import Validation, refusal, validate
from learntoask.training.journal import Stopwatch, TrainingJournal
from learntoask.training.optim import checkpoint
from learntoask.training.optim.deepspeed import make_learner
from learntoask.training.optim.learner import copy_weights
from learntoask.training.optim.lora import Adapters
from learntoask.training.optim.optimizer import epoch_order

CHECKPOINT = "grpo.pt"
BEST = "grpo-best.pt"


class GrpoTrainer:
    """Trains the policy's model in place. A killed run continues from its checkpoint, as `SftTrainer` does."""

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
        sampler: SessionSampler = decode_sessions,
    ) -> None:
        """`grader` is needed on the leader only. With `adapters`, `reference` is the policy with these disabled."""
        self.policy = policy
        self._reference = reference
        self._run = run
        self._sessions = [session for session in sessions if self._points(session).samples]
        self._validation = validation
        self._grader = grader
        self._adapters = adapters
        self._sampler = sampler
        self._workers = run.workers
        self._learner = make_learner(
            policy.model,
            weight_decay=0.0,
            precision=run.precision,
            workers=run.workers,
            settings=run.train.distributed,
        )
        self._updates = BatchUpdates(policy, reference, self._learner, run=run, adapters=adapters)
        self._position = Position()
        # The running mean of the weights is validated and published, because single updates swing between asking and
        # stopping.
        self._mean = copy_weights(self._learner.weights())

    def train(self, progress: Progress) -> tuple[GrpoResult, TrainingJournal]:
        """Train to the end and leave the chosen weights in the policy. The last good checkpoint stays after an error.

        Raises StageError when there is nothing to sample, a loss is not finite, the KL explodes or the output
        collapses, and TooManyMissing when too many grades are missing.
        """
        if not self._sessions:
            raise StageError("no training session has a decision point to sample", reason="NothingToTrain")
        self._restore()
        here, settings = self._position, self._run.settings
        self._workers.check_same(here.update, what=f"the checkpoint in {self._run.work}")
        journal = TrainingJournal(self._run.work, start_at=here.update, writes=self._workers.is_leader)
        if settings.updates and here.start is None and self._validation:
            progress.update(here.update, settings.updates, "validating the SFT policy")
            here.start = here.best = self._validate(journal)
        while here.update < settings.updates:
            figures = self._step(journal)
            if figures is None:
                break
            self._average()
            here.update += 1
            is_last = here.update == settings.updates
            if self._validation and (is_last or here.update % settings.validate_every == 0):
                self._keep_if_best(self._validate(journal))
            if is_last or here.update % self._run.train.checkpoint_every == 0:
                self._save()
            progress.update(
                here.update, settings.updates, self._run.title, reward=figures.reward, hit=figures.hit
            )
        self._choose()
        return self._result(), journal

    def _step(self, journal: TrainingJournal) -> BatchFigures | None:
        """Sample one batch, grade it, and make `steps_per_batch` updates of the weights on it.

        Returns None, without an update, if the SFT policy cannot answer yet.
        """
        run, update = self._run, self._position.update
        sessions, pack = self._batch(update), self._pack(update)
        points = [self._points(session) for session in sessions]
        clock = Stopwatch()
        sampled = self._workers.all_gather(self._sample(self._workers.share(points), pack))
        clock.lap("sampling")
        groups = self._workers.broadcast(
            lambda: grade_samples(points, sampled, grader=self._grader, spec=run.train.reward)
        )
        clock.lap("grading")
        figures = self._check(groups)
        if self._position.warning:
            return None
        batch, metrics = self._updates.make(sessions, groups, pack=pack, update=update)
        clock.lap("updating")
        self._position.fallbacks += batch.fallbacks
        check_kl(metrics["kl"], run=run, update=update)
        journal.write(
            update,
            run.train.method,
            **{name: value for name, value in asdict(figures).items() if value is not None},
            **metrics,
            groups=batch.groups,
            skipped_groups=batch.skipped,
            **clock.seconds,
        )
        return figures

    def _check(self, groups: Sequence[AnswerGroup]) -> BatchFigures:
        """Count the grades of a batch and stop the run when too many are missing or the output has collapsed."""
        run, here = self._run, self._position
        members = [member for group in groups for member in group.members]
        figures = batch_figures(groups)
        here.warning = check_output(figures, answers=len(members), run=run, update=here.update) or ""
        if here.warning:
            return figures
        require_answers(
            [member.grade for member in members],
            [member.answer.text for member in members],
            max_missing_share=run.max_missing_share,
            where=f"{run.title}, batch {here.update + 1}",
        )
        here.graded += len(members)
        here.missing += sum(member.reward is None for member in members)
        return figures

    def _points(self, session: LabelledSession) -> LabelledSession:
        return sampled_points(session, self._run.settings, self._run.train.reward.mode)

    def _pack(self, update: int) -> Pack:
        """The pack from which the prompts of `update` are rendered."""
        pack = self.policy.pack
        if not self._run.settings.shuffle_fields:
            return pack
        return update_order(pack, seed=self._run.train.seed, update=update)

    def _batch(self, update: int) -> list[LabelledSession]:
        """The sessions of `update`, which follow from its number."""
        size = min(self._run.settings.batch_sessions, len(self._sessions))
        per_epoch = len(self._sessions) // size
        epoch, position = divmod(update, per_epoch)
        order = epoch_order(len(self._sessions), seed=self._run.train.seed, epoch=epoch)
        return [self._sessions[index] for index in order[position * size : (position + 1) * size]]

    def _sample(self, points: Sequence[LabelledSession], pack: Pack) -> list[list[list[SampledAnswer]]]:
        """Draw answers from the policy or, for the baselines, from the SFT policy."""
        run = self._run
        params = SamplingParams(
            samples=run.settings.group_size,
            temperature=run.settings.temperature,
            max_new_tokens=run.train.max_new_tokens,
            seed=run.train.seed * 100_003 + self._position.update,
        )
        with self._learner.full_model(), autocast(run.precision, self.policy.model.device):
            if run.train.method == "grpo":
                return self._sampler(replace(self.policy, pack=pack), points, params)
            # The sampler may be an engine that is given the policy's weights: it cannot sample the SFT policy.
            with self._adapters.disabled() if self._adapters else nullcontext():
                return decode_sessions(replace(self._reference, pack=pack), points, params)

    def _average(self) -> None:
        """Move the running mean towards the weights of this update."""
        new = 1 - self._run.settings.averaging
        for name, weight in self._learner.weights().items():
            self._mean[name].lerp_(weight, new)

    def _validate(self, journal: TrainingJournal) -> Validation:
        """Validate the running mean of the weights, then put the current weights back."""
        current = copy_weights(self._learner.weights())
        self._learner.load_weights(self._mean)
        with self._learner.full_model(), autocast(self._run.precision, self.policy.model.device):
            validation = validate(
                self.policy,
                self._validation,
                grader=self._grader,
                max_new_tokens=self._run.train.max_new_tokens,
                max_missing_share=self._run.max_missing_share,
                workers=self._workers,
            )
        self._learner.load_weights(current)
        journal.write(max(self._position.update - 1, 0), "validation", **validation.metrics())
        return validation

    def _keep_if_best(self, validation: Validation) -> None:
        here, settings = self._position, self._run.settings
        why_not = refusal(
            validation,
            than=here.best,
            start=here.start,
            max_stop_loss=settings.max_stop_loss,
            confidence=settings.confidence,
        )
        if why_not is None:
            here.best, here.best_update = validation, here.update
            checkpoint.save(self._run.work / BEST, self._mean, write=self._workers.saves)
        elif validation.total > here.refused_total:
            here.refused_total = validation.total
            here.refusal = f"the best of the refused policies is that of update {here.update}, but {why_not}"

    def _choose(self) -> None:
        """Load the weights to publish: the best validated mean, or the SFT policy's where none was better.

        Without validation sessions it is the last mean.
        """
        if self._validation:
            self._workers.barrier()  # until the leader has saved them
            best = checkpoint.load(self._run.work / BEST) if self._position.best_update else None
            self._learner.load_weights(best or self._untrained())
        else:
            self._learner.load_weights(self._mean)
        self._learner.finish()

    def _untrained(self) -> checkpoint.State:
        if self._adapters:
            return self._adapters.untrained(self._learner.weights())
        return checkpoint.weights(self._reference.model)

    def _save(self) -> None:
        checkpoint.save(
            self._run.work / CHECKPOINT,
            {
                "position": self._position.to_state(),
                "weights": self._learner.weights(),
                "mean": self._mean,
                "optimiser": self._learner.optimiser_state(),
                "rng": torch.get_rng_state(),
            },
            write=self._workers.saves,
        )

    def _restore(self) -> None:
        state = checkpoint.load(self._run.work / CHECKPOINT)
        if state is None:
            return
        self._learner.load_weights(state["weights"])
        self._mean = {name: weight.to(self._mean[name].device) for name, weight in state["mean"].items()}
        self._learner.load_optimiser_state(state["optimiser"])
        torch.set_rng_state(state["rng"])
        self._position = Position.from_state(state["position"])

    def _result(self) -> GrpoResult:
        here = self._position
        return GrpoResult(
            updates=here.update,
            best_update=here.best_update if self._validation else here.update,
            start=here.start,
            best=here.best,
            sessions=len(self._sessions),
            missing_share=here.missing / here.graded if here.graded else 0.0,
            fallbacks=here.fallbacks,
            warnings=(here.warning,) if here.warning else (),
            refusal=here.refusal,
        )
