"""GRPO over session trees: sample, grade, score on packed rows, update; the SFT policy is start and anchor.

The baselines (`train.method`) differ in who is sampled and in the objective; everything else is the same loop.
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
from learntoask.training.grpo.batch import BatchFigures, batch_figures, grade_samples, sampled_points
from learntoask.training.grpo.guards import check_kl, check_output
from learntoask.training.grpo.run import GrpoResult, GrpoRun, Position
from learntoask.training.grpo.update import BatchUpdates
from learntoask.training.grpo.validation import Validation, is_better, validate
from learntoask.training.journal import Stopwatch, TrainingJournal
from learntoask.training.optim import checkpoint
from learntoask.training.optim.deepspeed import make_learner
from learntoask.training.optim.learner import copy_weights
from learntoask.training.optim.lora import Adapters
from learntoask.training.optim.optimizer import epoch_order

CHECKPOINT = "grpo.pt"
BEST = "grpo-best.pt"


class GrpoTrainer:
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
        draw: SessionSampler = decode_sessions,
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
        self._updating = make_learner(
            policy.model,
            weight_decay=0.0,
            precision=run.precision,
            workers=run.workers,
            settings=run.distributed,
        )
        self._updates = BatchUpdates(policy, reference, self._updating, run=run, adapters=adapters)
        self._position = Position()
        # What is validated and published; single updates swing between asking and stopping, their mean does not.
        self._mean = copy_weights(self._updating.weights())

    @staticmethod
    def _points(session: LabelledSession, run: GrpoRun) -> LabelledSession:
        return sampled_points(session, run.settings, run.reward.mode)

    def train(self, progress: Progress) -> tuple[GrpoResult, TrainingJournal]:
        """Run to the end and leave the chosen weights in the policy. Continues from `run.work` after a kill.

        Raises StageError when nothing can be learned from, a loss is not finite, the KL explodes or the output
        collapses, TooManyMissing when too many grades are; the last good checkpoint stays.
        """
        if not self._sessions:
            raise StageError("no training session has a decision point to sample", reason="NothingToTrain")
        self._resume()
        here, settings = self._position, self._run.settings
        self._workers.check_same(here.update, what=f"the checkpoint in {self._run.work}")
        journal = TrainingJournal(self._run.work, start_at=here.update, writes=self._workers.is_leader)
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

    def _update(self, journal: TrainingJournal) -> BatchFigures:
        """One batch: sample, grade, and `steps_per_batch` updates of the weights."""
        run, update = self._run, self._position.update
        sessions = self._batch(update)
        asked = [self._points(session, run) for session in sessions]
        pack = self._pack(update)
        clock = Stopwatch()
        sampled = self._workers.all_gather(self._sampled(self._workers.share(asked), pack))
        clock.lap("sampling")
        groups = self._workers.broadcast(
            lambda: grade_samples(asked, sampled, grader=self._grader, spec=run.reward)
        )
        clock.lap("grading")
        members = [member for group in groups for member in group.members]
        grades = [member.grade for member in members]
        require_answers(
            grades,
            [member.sampled.text for member in members],
            max_missing_share=run.max_missing_share,
            where=f"{run.title}, batch {update + 1}",
        )
        seen = batch_figures(groups)
        check_output(seen, answers=len(grades), run=run, update=update)
        batch, metrics = self._updates.make(sessions, groups, pack=pack, update=update)
        clock.lap("updating")
        self._position.graded += len(grades)
        self._position.missing += sum(member.reward is None for group in groups for member in group.members)
        self._position.fallbacks += batch.fallbacks
        check_kl(metrics["kl"], run=run, update=update)
        journal.write(
            update,
            run.method,
            **asdict(seen),
            **metrics,
            groups=batch.groups,
            skipped_groups=batch.skipped,
            **clock.seconds,
        )
        return seen

    def _pack(self, update: int) -> Pack:
        """The pack that this update's prompts are rendered from."""
        pack = self.policy.pack
        if not self._run.settings.shuffle_fields:
            return pack
        return update_order(pack, seed=self._run.seed, update=update)

    def _sampled(self, asked: Sequence[LabelledSession], pack: Pack) -> list[list[list[SampledAnswer]]]:
        """Completions of the policy or, for the baselines, of the SFT policy."""
        run, offline_sampling = self._run, self._run.method != "grpo"
        without_adapters = self._adapters.disabled() if self._adapters and offline_sampling else nullcontext()
        with self._updating.whole(), without_adapters, autocast(run.precision, self.policy.model.device):
            # `draw` may be an engine that follows the policy's weights.
            return (decode_sessions if offline_sampling else self._draw)(
                replace(self._reference if offline_sampling else self.policy, pack=pack),
                asked,
                SamplingParams(
                    samples=run.settings.group_size,
                    temperature=run.settings.temperature,
                    max_new_tokens=run.max_new_tokens,
                    seed=run.seed * 100_003 + self._position.update,
                ),
            )

    def _batch(self, update: int) -> list[LabelledSession]:
        size = min(self._run.settings.batch_sessions, len(self._sessions))
        per_epoch = len(self._sessions) // size
        epoch, position = divmod(update, per_epoch)
        order = epoch_order(len(self._sessions), seed=self._run.seed, epoch=epoch)
        return [self._sessions[index] for index in order[position * size : (position + 1) * size]]

    def _average(self) -> None:
        """Move the mean towards the weights of this update."""
        new = 1 - self._run.settings.averaging
        for name, weight in self._updating.weights().items():
            self._mean[name].lerp_(weight, new)

    def _validate(self, journal: TrainingJournal) -> Validation:
        current = copy_weights(self._updating.weights())
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
        if is_better(
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
        self._workers.barrier()  # the leader has saved
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
        self._position = Position.restored(state["position"])
