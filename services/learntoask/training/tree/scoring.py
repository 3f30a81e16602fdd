"""Log-probabilities of the scored tokens of a packed row: the one forward pass of SFT and GRPO."""

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
"""Logits that are kept for the gradient (256 MiB in float32); where a row has more, they are computed twice."""


@dataclass(frozen=True)
class Scores:
    """`logprobs` [m] and, without gradient, `entropies` [m] of the distributions they come from."""

    logprobs: Tensor
    entropies: Tensor


def score(model: PreTrainedModel, row: MicroBatch, *, temperature: float = 1.0) -> Scores:
    """Score every target of `row` under `model` at `temperature`; differentiable, equal to unpacked rows."""
    device = model.device
    hidden = model.base_model(
        input_ids=torch.from_numpy(row.tokens).to(device)[None],
        position_ids=torch.from_numpy(row.positions).to(device)[None],
        # A 4-d mask is handed through as it is: it keeps transformers from making an n×n mask of its own.
        attention_mask=torch.empty(1, 1, 1, 0, device=device),
        use_cache=False,
        tree=tree_mask(row, device=device),
    ).last_hidden_state[0]
    # The completions of a context read their first token at the same place: its logits are computed once.
    places, rows = (torch.from_numpy(part).to(device) for part in np.unique(row.reads, return_inverse=True))
    targets = torch.from_numpy(row.targets).to(device)
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
