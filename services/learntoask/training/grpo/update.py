"""The updates of the weights that one graded batch makes: rows, references, gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession
from learntoask.policy.model import Policy
from learntoask.policy.precision import autocast
from learntoask.training.distributed.process_group import Workers
from learntoask.training.grpo import baselines
from learntoask.training.grpo.batch import AnswerGroup, Batch, build_batch
from learntoask.training.grpo.loss import CompletionFacts, LossTerms, grpo_loss
from learntoask.training.grpo.run import GrpoRun
from learntoask.training.optim.learner import Learner
from learntoask.training.optim.lora import Adapters
from learntoask.training.optim.optimizer import Schedule
from learntoask.training.optim.token_budget import TokenBudget
from learntoask.training.tree.layout import MicroBatch
from learntoask.training.tree.scoring import score


@dataclass
class _Rows:
    """A batch with, for each row of this worker, the log-probabilities under the SFT policy and, once they are known,
    under the policy that sampled."""

    batch: Batch
    references: list[Tensor]
    old: list[Tensor] = field(default_factory=list)


class BatchUpdates:
    """Makes `steps_per_batch` updates on every batch, against the log-probabilities of the SFT policy."""

    def __init__(
        self,
        policy: Policy,
        reference: Policy,
        updating: Learner,
        *,
        run: GrpoRun,
        adapters: Adapters | None,
    ) -> None:
        self._policy = policy
        self._reference = reference
        self._updating = updating
        self._run = run
        self._adapters = adapters
        self._budget = TokenBudget(run.row_tokens)
        self._schedule = Schedule(
            peak=run.settings.learning_rate, warmup=2, total=run.settings.updates, decay="constant"
        )

    def make(
        self, sessions: Sequence[LabelledSession], groups: Sequence[AnswerGroup], *, pack: Pack, update: int
    ) -> tuple[Batch, dict[str, float]]:
        """Make the updates of batch `update` (from 0), which was sampled with the prompts of `pack`; returns its rows
        and the figures of the last one."""
        settings = self._run.settings
        policy = replace(self._policy, pack=pack)

        def rows(row_tokens: int) -> _Rows:
            batch = build_batch(
                policy,
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

        self._policy.model.train()
        for step in range(settings.steps_per_batch):
            if step == 0:
                made, metrics = self._budget.attempt(first, self._updating)
            else:
                metrics = self._gradients(made)
            metrics["gradient_norm"] = self._updating.apply(
                rate=self._schedule.rate(update), loss=metrics["loss"], update=update
            )
        self._policy.model.eval()
        return made.batch, metrics

    def _gradients(self, made: _Rows) -> dict[str, float]:
        """Gradients of all rows; remembers the log-probabilities of the first time."""
        settings = self._run.settings
        parts: list[tuple[LossTerms, float]] = []
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
        return _figures(parts, entropy, scored_tokens, self._run.workers)

    def _objective(
        self, logprobs: Tensor, *, old: Tensor | None, reference: Tensor, facts: CompletionFacts
    ) -> LossTerms:
        if self._run.method == "dpo":
            return baselines.dpo(logprobs, reference=reference, facts=facts, beta=self._run.dpo_beta)
        if self._run.method == "rewardWeighted":
            return baselines.reward_weighted(logprobs, reference=reference, facts=facts)
        return grpo_loss(logprobs, old=old, reference=reference, facts=facts, settings=self._run.settings)

    @torch.no_grad()
    def _reference_logprobs(self, row: MicroBatch) -> Tensor:
        temperature = self._run.settings.temperature
        if self._adapters:
            with self._adapters.disabled():
                return self._updating.scores(row, temperature=temperature).logprobs
        with autocast(self._run.precision, self._reference.model.device):
            return score(self._reference.model, row, temperature=temperature).logprobs


def _figures(
    parts: Sequence[tuple[LossTerms, float]], entropy: float, scored_tokens: float, workers: Workers
) -> dict[str, float]:
    """Figures of a batch from those of this worker's rows."""

    def sums(values: Iterable[tuple[float, float]]) -> float:
        return sum(value * counts for value, counts in values)

    loss, kl, stop_kl, clipped, off_policy, entropy, tokens, stops, stop_points, asks, ask_points = (
        workers.all_reduce(
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
