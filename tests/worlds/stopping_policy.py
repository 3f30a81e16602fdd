"""Policies that want to stop."""

from __future__ import annotations

import torch
from learntoask.core.prompt import Context
from learntoask.policy.model import Policy


def learn_to_stop(policy: Policy, context: Context, *, updates: int) -> None:
    """Train the policy in place to stop after `context`; it comes to want to elsewhere too."""
    prompt = policy.context_tokens(context)
    tokens = torch.tensor([prompt + policy.stop_tokens])
    labels = tokens.clone()
    labels[:, : len(prompt)] = -100
    optimiser = torch.optim.AdamW(policy.model.parameters(), lr=3e-3)
    for _ in range(updates):
        policy.model(tokens, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
