"""Evaluation, the gate and serving."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat, field_validator, model_validator

from learntoask.core.manifest.metric import check_metric
from learntoask.core.manifest.model import Duration, ManifestModel, Name, Precision
from learntoask.core.manifest.quantity import Quantity


class Evaluate(ManifestModel):
    """How the policies are measured on held-out sessions."""

    samples: Annotated[int, Field(ge=0, le=64)] = 3
    """R, completions a decision point in the sampled decoding; 0 leaves it out."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Temperature of the sampled decoding."""
    max_sessions: Annotated[int, Field(ge=1)] | None = None
    """Use only this many held-out sessions (seeded choice)."""
    bootstrap: Annotated[int, Field(ge=100, le=100000)] = 1000
    """Resamples of the confidence intervals, clustered by session."""
    replay: bool = True
    """Replay held-out sessions with the answers the logs hold."""
    replay_sessions: Annotated[int, Field(ge=1)] = 100
    """Sessions to replay at most (seeded choice among the held-out ones)."""


class Threshold(ManifestModel):
    metric: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_metric)]
    """Name as in the report: `WS-stop`, `unseen.WA-GH`, `sampled.Total`, `grpo-sft.WS-stop`, `gap.WA-GH`,
    `replay.coverage`, `grader.kappa`, …"""
    bound: Literal["point", "lower", "upper", "lowerOneSided", "upperOneSided"] = "point"
    """Compare the value itself, a bound of its 95 % interval, or its one-sided 95 % bound (differences only)."""
    min: FiniteFloat | None = None
    """Smallest value that passes."""
    max: FiniteFloat | None = None
    """Largest value that passes."""

    @model_validator(mode="after")
    def _compares(self) -> Threshold:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        return self


class GateSettings(ManifestModel):
    """What the report must show before a policy is served."""

    thresholds: tuple[Threshold, ...] = ()
    """All must hold for the policy to be served."""


class Serve(ManifestModel):
    """How the policy is served."""

    endpoint: Name | None = None
    """In a cluster: the AskEndpoint that gets the policy; it is made when there is none, and stays when the run goes.
    Left out, it has the run's name."""
    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    """Address the server listens on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 50051
    """0 takes a free port."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What decodes: `transformers`, ready in seconds, or `vllm` (the extra `vllm-cpu`, or `vllm` on a GPU)."""
    precision: Precision = "auto"
    """What the policy server computes in. `auto` takes bfloat16 where its machine computes it faster than float32."""
    max_concurrent: Annotated[int, Field(ge=1, le=1024)] = 32
    """Requests decoded together."""
    max_queue: Annotated[int, Field(ge=0)] = 256
    """Requests that may wait; more are refused with RESOURCE_EXHAUSTED."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    """Longest answer of the policy."""
    deadline: Duration = "30s"
    """Longest time for one answer; a caller's own deadline may only shorten it."""
    prefix_cache: Quantity = "1Gi"
    """Memory for the keys and values of conversations between their turns; the least recent ones leave first."""
    record_conversations: bool = False
    """Write served decisions as log records that `lta run` reads back."""
    redact: tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...] = ()
    """Regular expressions whose matches are replaced by `[redacted]` in recorded conversations."""

    @field_validator("redact")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
        return patterns
