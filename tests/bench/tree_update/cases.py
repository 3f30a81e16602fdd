"""The session that is trained on, and the models that are trained, with random weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from learntoask.core.manifest.scale import Lora
from learntoask.training.optim.lora import Adapters
from learntoask.training.tree.attention import enable_tree_attention
from learntoask.training.tree.layout import Completion, SessionTree
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY = 4096
FIRST, STEP, LENGTH = 196, 32, 20


@dataclass(frozen=True)
class Case:
    """One session and what GRPO knows of its completions; `references` is [completions, LENGTH]."""

    tree: SessionTree
    advantages: Tensor
    references: Tensor

    @property
    def device(self) -> torch.device:
        return self.advantages.device


def case_of(turns: int, group: int, *, first: int = FIRST, seed: int = 0, device: str = "cpu") -> Case:
    """Return a session of `turns` turns with `group` completions each, whose first context has `first` tokens."""
    generator = torch.Generator().manual_seed(seed)

    def words(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, VOCABULARY, (count,), generator=generator).tolist())

    completions = tuple(
        Completion(first + STEP * turn, words(LENGTH)) for turn in range(turns) for _ in range(group)
    )
    return Case(
        tree=SessionTree(words(first + STEP * (turns - 1)), completions),
        advantages=torch.randn(len(completions), generator=generator).to(device),
        references=(-8 - torch.rand(len(completions), LENGTH, generator=generator)).to(device),
    )


def _qwen2(hidden: int, intermediate: int, layers: int, heads: int, keys: int, *, tied: bool) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=151_936 if tied else 152_064,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys,
        tie_word_embeddings=tied,
        pad_token_id=0,
    )


SHAPES: dict[str, PretrainedConfig] = {
    "small": Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=7,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
    ),
    "smollm2": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        pad_token_id=0,
    ),
    "tiny-qwen2": _qwen2(64, 128, 2, 4, 2, tied=True),
    "qwen2.5-0.5b": _qwen2(896, 4864, 24, 14, 2, tied=True),
    "qwen2.5-1.5b": _qwen2(1536, 8960, 28, 12, 2, tied=True),
    "qwen2.5-7b": _qwen2(3584, 18944, 28, 28, 4, tied=False),
}
LARGE = ("qwen2.5-1.5b", "qwen2.5-7b")
"""Shapes with so many multiplications that a GPU computes most of the time instead of launching kernels."""


def model_of(shape: str, device: str, *, lora: bool = False) -> PreTrainedModel:
    """Return a model of `shape` with float32 weights or, with `lora`, bfloat16 ones and adapters, which alone learn."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            SHAPES[shape], dtype=torch.bfloat16 if lora else torch.float32
        )
    enable_tree_attention(model)
    if lora:
        Adapters.attach(model, Lora(), seed=0, frozen=torch.bfloat16)
    return model.train()
