"""The policy: a model with the tokenizer, domain pack and prompt bounds that make conversations its input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.policy.architecture import check_architecture
from learntoask.policy.prompt import Prompting


@dataclass(frozen=True, eq=False, kw_only=True)
class Policy(Prompting):
    model: PreTrainedModel

    @classmethod
    def load(
        cls,
        folder: Path,
        pack: Pack,
        *,
        max_prompt_tokens: int = 2048,
        may_stop: bool = True,
        stop_threshold: float | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Policy:
        """The policy of a published `model/` folder on `device` (by default the GPU if there is one).

        Raises InputError when the model cannot hold the prompt or has an architecture that trees cannot compute.
        """
        prompting = Prompting.read(
            folder,
            pack,
            max_prompt_tokens=max_prompt_tokens,
            may_stop=may_stop,
            stop_threshold=stop_threshold,
        )
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        check_architecture(model)
        longest = getattr(model.config, "max_position_embeddings", max_prompt_tokens)
        if max_prompt_tokens > longest:
            raise InputError(
                f"train.maxPromptTokens is {max_prompt_tokens}, but the base model reads at most {longest} tokens"
            )
        return cls(model=model.to(device or best_device()).eval(), **vars(prompting))


def best_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
