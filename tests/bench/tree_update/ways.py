"""Ways to make one GRPO update: on the session tree, in rows of equal length, and in one padded batch.

Each computes the same loss, leaves its gradient in the model and returns the loss.
"""

from __future__ import annotations

import torch
from learntoask.core.manifest import Grpo
from learntoask.training.grpo.loss import CompletionFacts, grpo_loss
from learntoask.training.tree.layout import pack_micro_batch
from learntoask.training.tree.scoring import score
from torch import Tensor
from transformers import PreTrainedModel

from tree_update.cases import LENGTH, Case

BETA = 0.02
SETTINGS = Grpo(credit="plain", kl_coefficient=BETA)


def by_tree(model: PreTrainedModel, case: Case) -> float:
    packed = pack_micro_batch([case.tree])
    count = len(case.tree.completions)
    nothing = torch.zeros(count, device=case.device)
    facts = CompletionFacts(
        lengths=torch.from_numpy(packed.lengths).to(case.device),
        weight=torch.full((count,), 1 / count, device=case.device),
        advantage=case.advantages,
        stop=nothing.bool(),
        truth=nothing.long(),
        decision_weight=nothing,
        hold_weight=nothing,
        stop_of=nothing.long(),
    )
    logprobs = score(model, packed).logprobs
    loss = grpo_loss(
        logprobs, old=None, reference=case.references.flatten(), facts=facts, settings=SETTINGS
    ).loss
    loss.backward()
    return float(loss.detach())


def row_loss(logprobs: Tensor, references: Tensor, advantages: Tensor) -> Tensor:
    """Sum over completions of their mean token loss: [rows, LENGTH] each."""
    ratio = (logprobs - logprobs.detach()).exp()
    surrogate = torch.minimum(ratio * advantages[:, None], ratio.clamp(0.8, 1.2) * advantages[:, None])
    log_ratio = references - logprobs
    return (-surrogate + BETA * (log_ratio.exp() - log_ratio - 1)).mean(dim=1).sum()


def completion_logprobs(model: PreTrainedModel, ids: Tensor, mask: Tensor | None, reads: Tensor) -> Tensor:
    hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    every = torch.arange(len(ids), device=ids.device)[:, None]
    logs = model.lm_head(hidden[every, reads]).float().log_softmax(-1)
    return logs.gather(2, ids[every, reads + 1][..., None])[..., 0]


def by_rows(model: PreTrainedModel, case: Case) -> float:
    completions = case.tree.completions
    total = 0.0
    for attach in sorted({completion.attach for completion in completions}):
        chosen = [index for index, completion in enumerate(completions) if completion.attach == attach]
        rows = [case.tree.trunk[:attach] + completions[index].tokens for index in chosen]
        ids = torch.tensor(rows, device=case.device)
        reads = torch.arange(attach - 1, attach + LENGTH - 1, device=case.device).expand(len(chosen), -1)
        logprobs = completion_logprobs(model, ids, None, reads)
        loss = row_loss(logprobs, case.references[chosen], case.advantages[chosen]) / len(completions)
        loss.backward()
        total += float(loss.detach())
    return total


def by_padded(model: PreTrainedModel, case: Case) -> float:
    completions = case.tree.completions
    rows = [case.tree.trunk[: completion.attach] + completion.tokens for completion in completions]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=case.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=case.device)
    reads = torch.tensor(
        [list(range(completion.attach - 1, completion.attach + LENGTH - 1)) for completion in completions],
        device=case.device,
    )
    logprobs = completion_logprobs(model, ids, mask, reads)
    loss = row_loss(logprobs, case.references, case.advantages) / len(completions)
    loss.backward()
    return float(loss.detach())
