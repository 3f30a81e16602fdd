"""Tiny models with tree attention, and the padded rows that session trees are compared with."""

from __future__ import annotations

import torch
from learntoask.training.tree.attention import enable_tree_attention
from learntoask.training.tree.layout import SessionTree
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

VOCABULARY = 31
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


def model_of(kind: str, *, head_dim: int = SHAPE["head_dim"], scale: int = 8) -> PreTrainedModel:
    """A tiny model with two query heads per kv head, whose weights are `scale` times the initial ones."""
    shape = {**SHAPE, "head_dim": head_dim}
    torch.manual_seed(0)
    model = (
        LlamaForCausalLM(LlamaConfig(**shape)) if kind == "llama" else Qwen3ForCausalLM(Qwen3Config(**shape))
    )
    # Initial weights attend almost uniformly, which would hide mask errors.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(scale)
    enable_tree_attention(model)
    return model.train()


def padded_logprobs(model: torch.nn.Module, forest: list[SessionTree]) -> list[torch.Tensor]:
    """Score every completion in a right-padded row, by transformers' ordinary causal attention."""
    rows = [(tree.trunk[: c.attach] + c.tokens, c.attach) for tree in forest for c in tree.completions]
    width = max(len(row) for row, _ in rows)
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row, _ in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row, _ in rows], device=model.device)
    logs = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float().log_softmax(-1)
    return [
        logs[index, attach - 1 : len(row) - 1].gather(1, ids[index, attach : len(row), None])[:, 0]
        for index, (row, attach) in enumerate(rows)
    ]


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
