"""Settings for models or batches that one process cannot train: adapters, and several workers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator

from learntoask.core.deepspeed import check_override
from learntoask.core.manifest.duration import PositiveDuration
from learntoask.core.manifest.model import ManifestModel


class Lora(ManifestModel):
    """Train low-rank adapters (LoRA) and keep the weights of the base model fixed. Needs the extra `scale`."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of each adapter."""
    alpha: Annotated[float, Field(gt=0, le=1_000_000)] = 32.0
    """Scale of the adapters: the product of an adapter's matrices is multiplied by alpha / rank."""
    targets: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)] = ("all-linear",)
    """Names of the modules that get an adapter, such as `q_proj`; `all-linear` means all linear layers except the
    output head."""


class Distributed(ManifestModel):
    """Training by several workers, which each compute a part of every batch (docs/scale.md)."""

    workers: Annotated[int, Field(ge=1, le=4096)] = 1
    """Number of workers. On a laptop they are processes of this machine, in a cluster pods. It may change while a
    run is suspended; training then continues from its checkpoint."""
    zero: Literal[0, 1, 2, 3] = 0
    """ZeRO stage of DeepSpeed, which is what the workers partition: 1 the optimizer state, 2 also the gradients, 3 also
    the weights. With 0 DeepSpeed is not used, and every worker holds all of them."""
    timeout: PositiveDuration = "30m"
    """Longest time that the workers wait for each other in a collective operation."""
    deepspeed: dict[str, JsonValue] = Field(default_factory=dict)
    """DeepSpeed settings that are merged into the configuration derived from this manifest, such as
    `{zero_optimization: {offload_optimizer: {device: cpu}}}`."""

    @field_validator("deepspeed")
    @classmethod
    def _known(cls, override: dict[str, JsonValue]) -> dict[str, JsonValue]:
        check_override(override)
        return override
