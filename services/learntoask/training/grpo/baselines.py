"""Objectives that learn from graded samples of the SFT policy: what GRPO is measured against.

Both take a completion as a whole, stop or question, and neither knows which decision was right but by its reward.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from learntoask.training.grpo.loss import (
    CompletionFacts,
    LossTerms,
    completion_of_tokens,
    per_completion,
    right_decisions,
    token_kl,
)


def dpo(logprobs: Tensor, *, reference: Tensor, facts: CompletionFacts, beta: float) -> LossTerms:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7) of one row; rows of a batch add up.

    logprobs, reference: [m] under the policy and the SFT policy. Of every pair: −log σ(β·(log-ratio of the better
    completion − log-ratio of the worse)), a log-ratio being that of the whole completion, policy over reference.
    """
    owner = completion_of_tokens(facts)
    ratios = per_completion(logprobs - reference, owner, facts)
    pairs = facts.pairs
    assert pairs is not None, "a batch for DPO is built with its pairs"
    margin = ratios[pairs.better] - ratios[pairs.worse]
    return _objective(-(pairs.weight * logsigmoid(beta * margin)).sum(), logprobs, reference, facts, owner)


def reward_weighted(logprobs: Tensor, *, reference: Tensor, facts: CompletionFacts) -> LossTerms:
    """Supervised learning of the samples themselves, each as much as its reward: −Σ share·reward·(mean token
    log-probability). `facts.advantage` holds the rewards, divided by the batch's mean."""
    owner = completion_of_tokens(facts)
    share = (facts.weight * facts.advantage / facts.lengths)[owner]
    return _objective(-(share * logprobs).sum(), logprobs, reference, facts, owner)


def _objective(
    loss: Tensor, logprobs: Tensor, reference: Tensor, facts: CompletionFacts, owner: Tensor
) -> LossTerms:
    """With the same figures to watch as GRPO's."""
    found = logprobs.detach()
    stop_logprob = per_completion(found, owner, facts)[facts.stop_of]
    right_stops, right_asks = right_decisions(stop_logprob, facts)
    return LossTerms(
        loss=loss,
        kl=float(token_kl(found, reference, (facts.weight / facts.lengths)[owner])),
        stop_kl=0.0,
        clipped=0.0,
        off_policy=0.0,
        right_stops=right_stops,
        right_asks=right_asks,
    )
