"""The policy: a model with the tokenizer, domain pack and prompt bounds that make conversations its input."""

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
        """The policy of a published `model/` folder on `device` (by default the GPU if there is one).

        Raises InputError when the model cannot hold the prompt or has an architecture that trees cannot compute.
        """
        prompting = PromptRenderer.read(folder, pack, limits=limits)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        check_architecture(model)
        longest = getattr(model.config, "max_position_embeddings", limits.max_prompt_tokens)
        if limits.max_prompt_tokens > longest:
            raise InputError(
                f"train.maxPromptTokens is {limits.max_prompt_tokens}, "
                f"but the base model reads at most {longest} tokens"
            )
        return cls(model=model.to(device or best_device()).eval(), **vars(prompting))


def best_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
