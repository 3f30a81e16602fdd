"""The updates of the weights that one graded batch makes: micro-batches, reference log-probabilities, gradients."""

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
from learntoask.training.grpo.batch import Batch, build_batch
from learntoask.training.grpo.loss import CompletionFacts, LossTerms, grpo_loss
from learntoask.training.grpo.run import GrpoRun
from learntoask.training.grpo.samples import AnswerGroup
from learntoask.training.optim.learner import Learner
from learntoask.training.optim.lora import Adapters
from learntoask.training.optim.optimizer import Schedule
from learntoask.training.optim.token_budget import TokenBudget
from learntoask.training.tree.layout import MicroBatch
from learntoask.training.tree.scoring import score


@dataclass
class _Prepared:
    """A batch with log-probabilities of this worker's micro-batches: `references` under the SFT policy, and `old` under
    the policy that sampled. `old` is filled by the first pass."""

    batch: Batch
    references: list[Tensor]
    old: list[Tensor] = field(default_factory=list)


class BatchUpdates:
    """Makes `steps_per_batch` updates on every batch."""

    def __init__(
        self,
        policy: Policy,
        reference: Policy,
        learner: Learner,
        *,
        run: GrpoRun,
        adapters: Adapters | None,
    ) -> None:
        self._policy = policy
        self._reference = reference
        self._learner = learner
        self._run = run
        self._adapters = adapters
        self._budget = TokenBudget(run.row_tokens)
        self._schedule = Schedule(
            peak=run.settings.learning_rate, warmup=2, total=run.settings.updates, decay="constant"
        )

    def make(
        self, sessions: Sequence[LabelledSession], groups: Sequence[AnswerGroup], *, pack: Pack, update: int
    ) -> tuple[Batch, dict[str, float]]:
        """Update the weights on batch `update` (from 0), whose prompts were rendered from `pack`.

        Returns the batch and the figures of its last step.
        """
        policy = replace(self._policy, pack=pack)

        def first_pass(row_tokens: int) -> tuple[_Prepared, dict[str, float]]:
            batch = build_batch(
                policy,
                sessions,
                groups,
                settings=self._run.settings,
                row_tokens=row_tokens,
                method=self._run.train.method,
            )
            mine = self._learner.share(batch.micro_batches)
            prepared = _Prepared(batch, [self._reference_logprobs(scored.packed) for scored, *_ in mine])
            return prepared, self._accumulate(prepared)

        self._policy.model.train()
        for step in range(self._run.settings.steps_per_batch):
            if step == 0:
                prepared, metrics = self._budget.attempt(first_pass, self._learner)
            else:
                metrics = self._accumulate(prepared)
            metrics["gradient_norm"] = self._learner.step(
                rate=self._schedule.rate(update), loss=metrics["loss"], update=update
            )
        self._policy.model.eval()
        return prepared.batch, metrics

    def _accumulate(self, prepared: _Prepared) -> dict[str, float]:
        """Add the gradients of all micro-batches and return their figures.

        The first pass keeps the log-probabilities of the policy that sampled.
        """
        settings = self._run.settings
        parts: list[tuple[LossTerms, float]] = []
        entropy = scored_tokens = 0.0
        is_first = not prepared.old
        for index, (scored, weight, is_last) in enumerate(self._learner.share(prepared.batch.micro_batches)):
            scores = self._learner.forward(scored.packed, temperature=settings.temperature)
            terms = self._loss(
                scores.logprobs,
                old=None if is_first else prepared.old[index],
                reference=prepared.references[index],
                facts=scored.facts,
            )
            self._learner.backward(terms.loss * weight, is_last=is_last)
            if is_first:
                prepared.old.append(scores.logprobs.detach())
            parts.append((terms, weight))
            entropy += weight * float(scores.entropies.sum())
            scored_tokens += weight * len(scores.entropies)
        return _figures(parts, entropy, scored_tokens, self._run.workers)

    def _loss(
        self, logprobs: Tensor, *, old: Tensor | None, reference: Tensor, facts: CompletionFacts
    ) -> LossTerms:
        train = self._run.train
        if train.method == "dpo":
            return baselines.dpo(logprobs, reference=reference, facts=facts, beta=train.dpo.beta)
        if train.method == "rewardWeighted":
            return baselines.reward_weighted(logprobs, reference=reference, facts=facts)
        return grpo_loss(logprobs, old=old, reference=reference, facts=facts, settings=self._run.settings)

    @torch.no_grad()
    def _reference_logprobs(self, packed: MicroBatch) -> Tensor:
        temperature = self._run.settings.temperature
        if self._adapters:
            with self._adapters.disabled():
                return self._learner.forward(packed, temperature=temperature).logprobs
        with autocast(self._run.precision, self._reference.model.device):
            return score(self._reference.model, packed, temperature=temperature).logprobs


def _figures(
    parts: Sequence[tuple[LossTerms, float]], entropy: float, scored_tokens: float, workers: Workers
) -> dict[str, float]:
    """The figures of a batch, summed over the micro-batches of all workers.

    `parts` are this worker's (terms, weight); `entropy` is a sum over its `scored_tokens`.
    """

    def total(values: Iterable[tuple[float, float]]) -> float:
        return sum(value * weight for value, weight in values)

    loss, kl, stop_kl, clipped, off_policy, entropy, tokens, stops, stop_points, asks, ask_points = (
        workers.all_reduce(
            [
                total((float(terms.loss.detach()), weight) for terms, weight in parts),
                total((terms.kl, weight) for terms, weight in parts),
                total((terms.stop_kl, weight) for terms, weight in parts),
                total((terms.clipped, weight) for terms, weight in parts),
                total((terms.off_policy, weight) for terms, weight in parts),
                entropy,
                scored_tokens,
                *(total((terms.right_stops[at], weight) for terms, weight in parts) for at in (0, 1)),
                *(total((terms.right_asks[at], weight) for terms, weight in parts) for at in (0, 1)),
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
