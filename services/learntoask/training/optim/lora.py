"""Low-rank adapters (LoRA, Hu et al. 2021) by peft.

They are attached to the model in place, disabled while it computes reference log-probabilities, and merged into the
weights that are published.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from learntoask.core.errors import InputError
from learntoask.core.manifest import Lora
from learntoask.training.optim.checkpoint import State

FOLDER = "adapter"


class Adapters:
    """The adapters of one model. Until the first update the model computes what it computed without them."""

    def __init__(self, peft_model: Any) -> None:
        self._peft = peft_model

    @classmethod
    def attach(cls, model: PreTrainedModel, lora: Lora, *, seed: int, frozen: torch.dtype) -> Adapters:
        """Put adapters into `model` and freeze all other weights, which are converted to `frozen`.

        `seed` determines the initial adapters. Raises InputError when a target names no module or peft is missing.
        """
        try:
            from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise InputError("spec.train.lora needs peft: pip install 'learntoask[scale]'") from error
        model.to(frozen)
        targets = "all-linear" if "all-linear" in lora.targets else list(lora.targets)
        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            target_modules=targets,
            lora_dropout=0.0,  # dropout would differ between the branches of a session tree
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                return cls(get_peft_model(model, config))
            except ValueError as error:
                raise InputError(f"spec.train.lora.targets: {error}") from error

    def disabled(self) -> AbstractContextManager[None]:
        """Return a context in which the model computes as if it had no adapters."""
        disabled: AbstractContextManager[None] = self._peft.disable_adapter()
        return disabled

    @staticmethod
    def untrained(weights: State) -> State:
        """Return `weights` with the B matrices set to zero, so that the adapters change nothing."""
        return {
            name: torch.zeros_like(value) if "lora_B" in name else value for name, value in weights.items()
        }

    def publish(self, out: Path) -> None:
        """Write `adapter/` in peft's format and merge the adapters into the model."""
        self._peft.save_pretrained(out / FOLDER)
        self._peft.float().merge_and_unload()
