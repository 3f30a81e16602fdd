"""Score a micro-batch: the forward pass of SFT and GRPO, up to the log-probabilities of its targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from learntoask.training.tree.attention import tree_mask
from learntoask.training.tree.layout import MicroBatch
from learntoask.training.tree.logprobs import LogProbabilities

CHUNK = 2**26
"""Number of logits kept for the gradient (256 MiB in float32); more are computed again in the backward pass."""


@dataclass(frozen=True)
class Scores:
    """`logprobs` [m] of the targets, and `entropies` [m] of their distributions in nats, which carry no gradient."""

    logprobs: Tensor
    entropies: Tensor


def score(model: PreTrainedModel, packed: MicroBatch, *, temperature: float = 1.0) -> Scores:
    """Score every target of `packed` under `model` at `temperature`, as a padded batch of sequences would be scored."""
    device = model.device
    hidden = model.base_model(
        input_ids=torch.from_numpy(packed.tokens).to(device)[None],
        position_ids=torch.from_numpy(packed.positions).to(device)[None],
        # transformers passes a 4-d mask through; without one it would make an n×n mask.
        attention_mask=torch.empty(1, 1, 1, 0, device=device),
        use_cache=False,
        tree=tree_mask(packed, device=device),
    ).last_hidden_state[0]
    # The first tokens of all completions of a context are predicted at one place, whose logits are computed once.
    places, rows = (
        torch.from_numpy(part).to(device) for part in np.unique(packed.reads, return_inverse=True)
    )
    targets = torch.from_numpy(packed.targets).to(device)
    size = max(1, CHUNK // model.config.vocab_size)
    if len(places) <= size:
        return Scores(*_head(model, hidden[places], rows, targets, temperature))
    owned, parts = [], []
    for start in range(0, len(places), size):
        here = ((rows >= start) & (rows < start + size)).nonzero()[:, 0]
        owned.append(here)
        arguments = (
            model,
            hidden[places[start : start + size]],
            rows[here] - start,
            targets[here],
            temperature,
        )
        parts.append(checkpoint(_head, *arguments, use_reentrant=False))
    order = torch.cat(owned).argsort()
    return Scores(*(torch.cat(column)[order] for column in zip(*parts, strict=True)))


def _head(
    model: PreTrainedModel, states: Tensor, rows: Tensor, targets: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    logits = model.get_output_embeddings()(states)
    found: tuple[Tensor, Tensor] = LogProbabilities.apply(logits, rows, targets, temperature)
    return found
