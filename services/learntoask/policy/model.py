"""The policy: a causal language model with the renderer of its prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.policy.architecture import check_architecture
from learntoask.policy.prompt import PromptLimits, PromptRenderer


@dataclass(frozen=True, eq=False, kw_only=True)
class Policy(PromptRenderer):
    """A model and everything needed to ask it: tokenizer, domain pack and prompt limits."""

    model: PreTrainedModel

    @classmethod
    def load(
        cls,
        folder: Path,
        pack: Pack,
        *,
        limits: PromptLimits = PromptLimits(),  # noqa: B008 - immutable
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Policy:
        """Load a published `model/` folder onto `device`, by default the GPU if there is one.

        Raises InputError when the model cannot hold the longest prompt or session trees cannot compute it.
        """
        renderer = PromptRenderer.read(folder, pack, limits=limits)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        check_architecture(model)
        longest = getattr(model.config, "max_position_embeddings", limits.max_prompt_tokens)
        if limits.max_prompt_tokens > longest:
            raise InputError(
                f"spec.train.maxPromptTokens is {limits.max_prompt_tokens}, "
                f"but the base model reads at most {longest} tokens"
            )
        return cls(model=model.to(device or best_device()).eval(), **vars(renderer))


def best_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
