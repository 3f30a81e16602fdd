"""The GRPO loss over the scored tokens of packed session trees, with an exact treatment of the stop decision.

Plain GRPO forgets to stop. Right stops earn the highest reward there is, so the answers of their groups agree and send
no gradient, while the `continue` groups, whose questions differ in reward, lower the probability of stopping
everywhere. A policy here makes two choices, π(y) = π(decision) · π(question | ask), and in a tree the probability of
the whole stop string is read from one short branch. `credit: factored` (the default) therefore

- learns the questions given that a question is asked: log(1 − p_stop) is subtracted from a question's log-probability
  and its advantage is taken among the questions of its group, so that learning content has no first-order effect on
  stopping;
- learns the decision exactly, without samples. In every reward mode the right decision earns at least as much as the
  wrong one. The group-normalised policy gradient of a binary choice, in the limit of an infinite group, is
  √(p (1 − p)) on the logit in favour of the better choice, which is the gradient of 2·asin(√p_right). Stop and continue
  points send it alike, whether or not their samples agree;
- keeps p_stop near the SFT policy's by the exact Bernoulli KL(SFT ‖ policy) at every decision point, labelled or not.

`credit: plain` is the formula of DeepSeekMath (Shao et al. 2024, eq. 3) as TRL computes it: whole completions, group
advantages over all of them.

Shapes: a micro-batch has c completions with m scored tokens and p preference pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learntoask.core.manifest import Grpo

_EDGE = (
    1e-6  # keeps log(1 − p) and the slope of the asin finite; float32 cannot resolve smaller distances from 1
)


@dataclass(frozen=True)
class Pairs:
    """Preference pairs: `better` [p] and `worse` [p] are indices of completions that answer the same context.

    `weight` [p] is the share of each pair in the batch.
    """

    better: Tensor
    worse: Tensor
    weight: Tensor


@dataclass(frozen=True)
class CompletionFacts:
    """What the loss must know about the completions of a micro-batch, whose scored tokens lie one after another.

    All completions: `lengths` [c] in tokens; `stop_of` [c], the index of the forced stop branch at the same context.
    Sampled completions: `weight` [c], their share of the batch's samples (0 for forced branches); `advantage` [c].
    Forced stop branches: `stop` [c] is true; `truth` [c] is +1 where the session stops, −1 where it continues and 0
    without a label; `decision_weight` [c] is their weighted share of the batch's labelled decision points,
    `hold_weight` [c] their share of all its decision points.
    `drawn` [m] holds the log-probabilities with which the sampling engine drew the tokens (any value for forced
    branches); None if the policy itself drew them. Only DPO has `pairs`.
    """

    lengths: Tensor
    weight: Tensor
    advantage: Tensor
    stop: Tensor
    truth: Tensor
    decision_weight: Tensor
    hold_weight: Tensor
    stop_of: Tensor
    drawn: Tensor | None = None
    pairs: Pairs | None = None


@dataclass(frozen=True)
class LossTerms:
    """A micro-batch's part of the batch's loss and of the means that the journal shows.

    `kl` and `stop_kl` are in nats; `clipped` is the share of clipped tokens, `off_policy` the mean distance of the
    importance weights from 1. `right_stops` and `right_asks` are (sum of the probabilities of the right decision,
    number of points) over the stop points and the continue points.
    """

    loss: Tensor
    kl: float
    stop_kl: float
    clipped: float
    off_policy: float
    right_stops: tuple[float, int]
    right_asks: tuple[float, int]


def grpo_loss(
    logprobs: Tensor, *, old: Tensor | None, reference: Tensor, facts: CompletionFacts, settings: Grpo
) -> LossTerms:
    """Return the loss of one micro-batch. The losses of a batch's micro-batches add up.

    `logprobs`, `old` and `reference` are log-probabilities [m] under the policy, under the policy that sampled (None if
    it has the same weights) and under the SFT policy. Token losses are averaged per completion, then over completions;
    the ratio clip and the k3 estimator are those of docs/method.md.
    """
    owner = completion_of_tokens(facts)
    stop_logprob = per_completion(logprobs, owner, facts)[facts.stop_of]
    chosen, sampled_by = logprobs, old
    if settings.credit == "factored":
        chosen = _condition_on_asking(logprobs, stop_logprob, facts)
        old = (
            None
            if old is None
            else _condition_on_asking(old, per_completion(old, owner, facts)[facts.stop_of], facts)
        )
    share = (facts.weight / facts.lengths)[owner]
    correction = _importance(logprobs if sampled_by is None else sampled_by, facts, owner, settings)
    advantage = facts.advantage[owner] * correction
    ratio = (chosen - (chosen.detach() if old is None else old)).exp()
    bounded = ratio.clamp(1 - settings.clip, 1 + settings.clip)
    surrogate = torch.minimum(ratio * advantage, bounded * advantage)
    kl = token_kl(logprobs, reference, share)
    loss = -(share * surrogate).sum() + settings.kl_coefficient * kl
    stop_kl = torch.zeros((), device=logprobs.device)
    if settings.credit == "factored":
        reference_stop = per_completion(reference, owner, facts)[facts.stop_of]
        stop_kl = (facts.hold_weight * _bernoulli_kl(reference_stop, stop_logprob)).sum()
        loss = loss + settings.stop_kl_coefficient * stop_kl
        gain = (facts.decision_weight * _decision_gain(stop_logprob, facts.truth)).sum()
        loss = loss - settings.decision_coefficient * gain
    clipped = (share * ((ratio - bounded).abs() > 0)).sum()
    right_stops, right_asks = right_decisions(stop_logprob, facts)
    return LossTerms(
        loss=loss,
        kl=float(kl.detach()),
        stop_kl=float(stop_kl.detach()),
        clipped=float(clipped.detach()),
        off_policy=float((share * (correction - 1).abs()).sum()),
        right_stops=right_stops,
        right_asks=right_asks,
    )


def completion_of_tokens(facts: CompletionFacts) -> Tensor:
    """Return the index of the completion of each token: [m]."""
    count = torch.arange(len(facts.lengths), device=facts.lengths.device)
    return torch.repeat_interleave(count, facts.lengths)


def token_kl(logprobs: Tensor, reference: Tensor, share: Tensor) -> Tensor:
    """Return the k3 estimate of KL(policy ‖ reference) (Schulman 2020); `share` [m] weights the tokens."""
    log_ratio = reference - logprobs
    return (share * (log_ratio.exp() - log_ratio - 1)).sum()


def right_decisions(
    stop_logprob: Tensor, facts: CompletionFacts
) -> tuple[tuple[float, int], tuple[float, int]]:
    """Return `LossTerms.right_stops` and `right_asks`.

    `stop_logprob` [c] is the log-probability of stopping at the context of each completion.
    """
    stopping = stop_logprob.detach().exp()
    return (
        _sum_and_count(stopping, facts.stop & (facts.truth > 0)),
        _sum_and_count(1 - stopping, facts.stop & (facts.truth < 0)),
    )


def _importance(logprobs: Tensor, facts: CompletionFacts, owner: Tensor, settings: Grpo) -> Tensor:
    """Truncated importance weights [m] of the tokens, 1 where the policy itself drew them.

    Another engine's kernels compute slightly different probabilities, so its samples are off-policy (Yao et al. 2025,
    "Your efficient RL framework secretly brings you off-policy RL").
    """
    if facts.drawn is None:
        return torch.ones_like(logprobs)
    ratio = (logprobs.detach() - facts.drawn).exp().clamp(max=settings.importance_cap)
    return torch.where(facts.stop[owner], torch.ones_like(ratio), ratio)


def _sum_and_count(values: Tensor, chosen: Tensor) -> tuple[float, int]:
    return float(values[chosen].sum()), int(chosen.sum())


def per_completion(logprobs: Tensor, owner: Tensor, facts: CompletionFacts) -> Tensor:
    """Return the log-probability of each completion, the sum over its tokens: [m] → [c]."""
    return torch.zeros_like(facts.weight).index_add(0, owner, logprobs)


def _condition_on_asking(logprobs: Tensor, stop_logprob: Tensor, facts: CompletionFacts) -> Tensor:
    """Token log-probabilities [m] given that the answer is no stop.

    log(1 − p_stop) is subtracted from the first token of every sampled completion.
    """
    first = facts.lengths.cumsum(0) - facts.lengths
    asked = torch.log(-torch.expm1(stop_logprob.clamp(max=-_EDGE)))
    return logprobs.index_add(0, first, torch.where(facts.stop, 0.0, -asked))


def _bernoulli_kl(reference: Tensor, policy: Tensor) -> Tensor:
    """KL(reference ‖ policy) [c] of the choice between stopping and asking, from log-probabilities of stopping [c]."""
    reference, policy = reference.clamp(max=-_EDGE), policy.clamp(max=-_EDGE)
    ask = torch.log(-torch.expm1(policy))
    reference_ask = torch.log(-torch.expm1(reference))
    return reference.exp() * (reference - policy) + reference_ask.exp() * (reference_ask - ask)


def _decision_gain(stop_logprob: Tensor, truth: Tensor) -> Tensor:
    """2·asin(√p_right) [c], whose gradient is that of an infinite group (see the module's docstring)."""
    stop = stop_logprob.exp().clamp(_EDGE, 1 - _EDGE)
    right = torch.where(truth > 0, stop, 1 - stop)
    return 2 * torch.asin(torch.sqrt(right))
