"""The losses of the baselines that GRPO is measured against; both learn from graded samples of the SFT policy.

Both take a completion, stop or question, as a whole, and learn which decision is right only from its reward.
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
    """Return the loss of direct preference optimisation (Rafailov et al. 2023, eq. 7) for one micro-batch.

    `logprobs` and `reference` are [m], under the policy and under the SFT policy. The loss of a pair is
    −log σ(β·(log-ratio of the better completion − log-ratio of the worse)), where a log-ratio is log policy − log
    reference of the whole completion. The losses of a batch's micro-batches add up.
    """
    owner = completion_of_tokens(facts)
    ratios = per_completion(logprobs - reference, owner, facts)
    pairs = facts.pairs
    assert pairs is not None, "a batch for DPO is built with its pairs"
    margin = ratios[pairs.better] - ratios[pairs.worse]
    return _terms(-(pairs.weight * logsigmoid(beta * margin)).sum(), logprobs, reference, facts, owner)


def reward_weighted(logprobs: Tensor, *, reference: Tensor, facts: CompletionFacts) -> LossTerms:
    """Return the loss of supervised learning on the samples, each weighted by its reward, for one micro-batch.

    It is −Σ share·reward·(mean token log-probability); `facts.advantage` holds the rewards divided by their mean.
    `logprobs` and `reference` are [m], as in `dpo`.
    """
    owner = completion_of_tokens(facts)
    share = (facts.weight * facts.advantage / facts.lengths)[owner]
    return _terms(-(share * logprobs).sum(), logprobs, reference, facts, owner)


def _terms(
    loss: Tensor, logprobs: Tensor, reference: Tensor, facts: CompletionFacts, owner: Tensor
) -> LossTerms:
    """The terms with the same figures as those of GRPO."""
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
