"""How training is spread over memory and machines: adapters, and several workers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator

from learntoask.core.deepspeed import check_override
from learntoask.core.manifest.model import Duration, ManifestModel


class Lora(ManifestModel):
    """Train low-rank adapters and leave the base as it is (needs the extra `scale`)."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of every adapter."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """An adapter's product is scaled by alpha / rank."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("all-linear",)
    """Names of the modules that get an adapter, as the model calls them (`q_proj`); `all-linear` for every linear layer
    but the output head."""


class Distributed(ManifestModel):
    """Several workers that each compute a share of every batch (docs/scale.md)."""

    workers: Annotated[int, Field(ge=1, le=4096)] = 1
    """Worker processes. Here they are started on this machine; in a cluster each is a pod, and this must be its
    WORLD_SIZE. A run goes on with another number."""
    zero: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed divides among the workers: 1 the optimiser's state, 2 also gradients, 3 also weights. 0 takes no
    DeepSpeed: every worker holds all."""
    timeout: Duration = "30m"
    """Longest time that workers wait for one another."""
    deepspeed: dict[str, JsonValue] = Field(default_factory=dict)
    """Merged into the DeepSpeed configuration that is made from this manifest, e.g.
    `{zero_optimization: {offload_optimizer: {device: cpu}}}`."""

    @field_validator("deepspeed")
    @classmethod
    def _known(cls, override: dict[str, JsonValue]) -> dict[str, JsonValue]:
        check_override(override)
        return override
