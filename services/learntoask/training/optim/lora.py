"""Low-rank adapters (LoRA): attached in place, left out for the reference, merged at the end."""

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
    """The adapters of one model. They change nothing until they are trained."""

    def __init__(self, peft_model: Any) -> None:
        self._peft = peft_model

    @classmethod
    def attach(cls, model: PreTrainedModel, lora: Lora, *, seed: int, frozen: torch.dtype) -> Adapters:
        """Put adapters into `model` and freeze the rest, held as `frozen`.

        Raises InputError when a target is no module of the model, or peft is not installed.
        """
        try:
            from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - of the extra `scale`
        except ImportError as error:
            raise InputError("spec.train.lora needs peft: pip install 'learntoask[scale]'") from error
        model.to(frozen)
        targets = "all-linear" if "all-linear" in lora.targets else list(lora.targets)
        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            target_modules=targets,
            lora_dropout=0.0,  # would drop differently in each branch of a session tree
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                return cls(get_peft_model(model, config))
            except ValueError as error:
                raise InputError(f"spec.train.lora.targets: {error}") from error

    def disabled(self) -> AbstractContextManager[None]:
        """In which the model computes as if it had no adapters."""
        disabled: AbstractContextManager[None] = self._peft.disable_adapter()
        return disabled

    @staticmethod
    def untrained(weights: State) -> State:
        """`weights` of adapters that change nothing."""
        return {
            name: torch.zeros_like(value) if "lora_B" in name else value for name, value in weights.items()
        }

    def publish(self, out: Path) -> None:
        """Write `adapter/`, as peft reads it, and merge the adapters into the model."""
        self._peft.save_pretrained(out / FOLDER)
        self._peft.float().merge_and_unload()
