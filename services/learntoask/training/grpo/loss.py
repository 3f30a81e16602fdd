"""The GRPO loss over the scored tokens of packed session trees, and the exact handling of the stop decision.

Plain GRPO forgets to stop: right stops earn the most there is, so their groups agree and send no gradient, while the
`continue` groups, whose questions differ in reward, push the probability of stopping down everywhere. But a policy
here is two choices, π(y) = π(decision) · π(question | ask), and in a tree the probability of the whole stop string is
read off one short branch. `credit: factored` (the default) therefore

- learns the questions given that one is asked: log(1 − p_stop) is subtracted from a question's log-probability and
  its advantage is taken among the questions of its group, so that learning content has no first-order effect on
  stopping;
- learns the decision exactly, without samples. In every reward mode the right decision earns no less than the wrong
  one; the group-normalised policy gradient of a choice of two, in the limit of an infinite group, is
  √(p (1 − p)) on the logit in favour of the better one: the gradient of 2·asin(√p_right). Stop and continue points
  send it alike, whether or not their samples happened to agree;
- holds p_stop to the SFT policy's by the exact Bernoulli KL(SFT ‖ policy) at every decision point, unlabelled ones
  included.

`credit: plain` is the formula of the papers (and TRL's): whole completions, group advantages over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learntoask.core.manifest import Grpo

_EDGE = 1e-6  # keeps log(1 − p) and the asin's slope finite; beyond it float32 knows no difference


@dataclass(frozen=True)
class Pairs:
    """`better` and `worse` [p] are completions of a row that answer the same context, `weight` [p] what a pair counts
    among the batch's."""

    better: Tensor
    worse: Tensor
    weight: Tensor


@dataclass(frozen=True)
class CompletionFacts:
    """What the objective knows about the c completions of a row, whose m scored tokens lie one after another.

    `lengths` [c]. Questions and sampled stops: `weight` [c] is their share of the batch's completions (0 for forced
    stop branches), `advantage` [c]. Forced stop branches: `stop` [c] is true, `truth` [c] is +1 where the session
    stops, −1 where it continues, 0 where nobody knows; `decision_weight` and `hold_weight` [c] are their (weighted)
    share of the batch's labelled and of all its decision points. `stop_of` [c] is the row's index of the forced stop
    branch at the same context. `drawn` [m] are the log-probabilities the tokens were drawn with, by whatever engine
    drew them (anything for forced branches, which nobody drew); None where the policy itself did. `pairs` is for
    DPO alone.
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
    """A row's part of the batch's loss, and its parts of the batch means worth watching.

    `right_stops` and `right_asks` are (sum of the probabilities of the right decision, points) over the row's stop and
    continue points.
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
    """The loss of one row; rows of a batch add up.

    logprobs, old, reference: [m] under the policy, the policy that sampled (None: the same weights) and the SFT
    policy. Token losses are averaged per completion, then over completions; clip ratio and k3 as in docs/method.md.
    """
    owner = completion_of_tokens(facts)
    stop_logprob = per_completion(logprobs, owner, facts)[facts.stop_of]
    chosen, sampled_by = logprobs, old
    if settings.credit == "factored":
        chosen = _given_asked(logprobs, stop_logprob, facts)
        old = (
            None
            if old is None
            else _given_asked(old, per_completion(old, owner, facts)[facts.stop_of], facts)
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
    """The completion that each of the m tokens belongs to."""
    count = torch.arange(len(facts.lengths), device=facts.lengths.device)
    return torch.repeat_interleave(count, facts.lengths)


def token_kl(logprobs: Tensor, reference: Tensor, share: Tensor) -> Tensor:
    """The k3 estimator of the KL to the reference; `share` [m] is each token's weight in the batch."""
    log_ratio = reference - logprobs
    return (share * (log_ratio.exp() - log_ratio - 1)).sum()


def right_decisions(
    stop_logprob: Tensor, facts: CompletionFacts
) -> tuple[tuple[float, int], tuple[float, int]]:
    """`Objective.right_stops` and `right_asks`; `stop_logprob` [c] is that of the stop at each completion's context."""
    stopping = stop_logprob.detach().exp()
    return (
        _sum_and_count(stopping, facts.stop & (facts.truth > 0)),
        _sum_and_count(1 - stopping, facts.stop & (facts.truth < 0)),
    )


def _importance(logprobs: Tensor, facts: CompletionFacts, owner: Tensor, settings: Grpo) -> Tensor:
    """Truncated importance weights [m] of the tokens: an engine with kernels of its own drew them from a policy that
    is a little off this one (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL")."""
    if facts.drawn is None:
        return torch.ones_like(logprobs)
    ratio = (logprobs.detach() - facts.drawn).exp().clamp(max=settings.importance_cap)
    return torch.where(facts.stop[owner], torch.ones_like(ratio), ratio)


def _sum_and_count(values: Tensor, chosen: Tensor) -> tuple[float, int]:
    return float(values[chosen].sum()), int(chosen.sum())


def per_completion(logprobs: Tensor, owner: Tensor, facts: CompletionFacts) -> Tensor:
    """Log-probability of every completion: [m] → [c]."""
    return torch.zeros_like(facts.weight).index_add(0, owner, logprobs)


def _given_asked(logprobs: Tensor, stop_logprob: Tensor, facts: CompletionFacts) -> Tensor:
    """Token log-probabilities given that the answer is no stop: log(1 − p_stop) off every completion's first token."""
    first = facts.lengths.cumsum(0) - facts.lengths
    asked = torch.log(-torch.expm1(stop_logprob.clamp(max=-_EDGE)))
    return logprobs.index_add(0, first, torch.where(facts.stop, 0.0, -asked))


def _bernoulli_kl(reference: Tensor, policy: Tensor) -> Tensor:
    """KL(reference ‖ policy) of the choice between stopping and asking, from the log-probabilities of stopping."""
    reference, policy = reference.clamp(max=-_EDGE), policy.clamp(max=-_EDGE)
    ask = torch.log(-torch.expm1(policy))
    reference_ask = torch.log(-torch.expm1(reference))
    return reference.exp() * (reference - policy) + reference_ask.exp() * (reference_ask - ask)


def _decision_gain(stop_logprob: Tensor, truth: Tensor) -> Tensor:
    """2·asin(√p_right): see the module's first words."""
    stop = stop_logprob.exp().clamp(_EDGE, 1 - _EDGE)
    right = torch.where(truth > 0, stop, 1 - stop)
    return 2 * torch.asin(torch.sqrt(right))
