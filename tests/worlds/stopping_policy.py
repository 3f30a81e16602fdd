"""Policies that learn to stop, that have other limits, and the probability of stopping by a plain forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from learntoask.core.prompt import Context
from learntoask.policy.model import Policy


def learn_to_stop(policy: Policy, context: Context, *, updates: int) -> None:
    """Train the policy in place to stop after `context`. It then stops more often elsewhere, too."""
    prompt = policy.context_tokens(context)
    tokens = torch.tensor([prompt + policy.stop_tokens])
    labels = tokens.clone()
    labels[:, : len(prompt)] = -100
    optimiser = torch.optim.AdamW(policy.model.parameters(), lr=3e-3)
    for _ in range(updates):
        policy.model(tokens, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def with_limits(policy: Policy, **limits: object) -> Policy:
    """Return the policy with some of its `PromptLimits` changed."""
    return replace(policy, limits=replace(policy.limits, **limits))


@torch.no_grad()
def stop_logprobs(policy: Policy, contexts: Sequence[Context]) -> list[float]:
    """Return the log-probability of exactly the stop string after each context, each computed by itself."""
    stop = torch.tensor(policy.stop_tokens)
    found = []
    for context in contexts:
        prompt = policy.context_tokens(context)
        logits = policy.model(torch.tensor([prompt + policy.stop_tokens])).logits[0, len(prompt) - 1 : -1]
        found.append(float(logits.float().log_softmax(-1).gather(1, stop[:, None]).sum()))
    return found
