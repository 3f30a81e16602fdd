"""Settings of a policy server, read from flags and environment at start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.manifest import Precision, RunSpec, seconds
from learntoask.core.manifest.quantity import byte_count
from learntoask.core.manifest.release import Repeat
from learntoask.core.manifest.train import Assessment
from learntoask.policy.stopping import Stopping, threshold_of
from learntoask.rpc.config import ListenConfig, Positive, read_settings
from learntoask.serving.records.redaction import compiled_patterns
from learntoask.statistics.binary_calibration import rescale

ENVIRONMENT_PREFIX = "LTA_SERVE_"


@dataclass(frozen=True, kw_only=True)
class ServeConfig(ListenConfig):
    """Every field is a flag and the environment variable LTA_SERVE_<FIELD>; a flag wins."""

    model: Path  # folder with the policy (Hugging Face layout)
    pack: Path  # domain pack (YAML)

    engine: Literal["transformers", "vllm"] = "transformers"
    precision: Precision = "auto"
    max_concurrent: Positive = 32  # requests decoded together
    max_queue: Annotated[int, Field(ge=0)] = 256  # requests that may wait in addition
    max_conversations: Positive = 1024  # open Converse streams
    max_new_tokens: Positive = 64
    max_prompt_tokens: Positive = 2048
    may_stop: bool = True  # False for a policy trained with reward mode ask_only
    assessment: Assessment = "none"  # what the policy was trained to say before a question
    # The policy stops if its probability of stopping is at least this; None lets greedy decoding decide.
    stop_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    # The log-odds of the model's probability of stopping are divided by this, which calibrates it.
    stop_temperature: Annotated[float, Field(gt=0, le=1000)] = 1.0
    repeat: Repeat = "avoid"  # a question that was put, or for a field that the user gave
    deadline_seconds: Annotated[float, Field(gt=0)] = 30.0  # longest time for one answer
    prefix_cache_bytes: Annotated[int, Field(ge=0)] = 2**30
    warm_up: bool = False  # answer the pack's demo conversation before taking calls
    threads: Positive | None = None  # of the engine; None keeps torch's number

    max_messages: Positive = 1000
    max_message_bytes: Positive = 65536
    max_conversation_bytes: Positive = 262_144

    records: Path | None = None  # folder for served conversations; None records nothing
    redact: tuple[str, ...] = ()  # patterns replaced by [redacted] in records
    redact_hook: str | None = None  # `package.module:function`, str → str, applied after the patterns

    log_messages: bool = False  # write the messages into the log

    @property
    def model_stop_threshold(self) -> float | None:
        """The threshold for the probability as the model gives it."""
        if self.stop_threshold is None or self.stop_temperature == 1:
            return self.stop_threshold
        return rescale(math.log(self.stop_threshold), 1 / self.stop_temperature)

    def __post_init__(self) -> None:
        super().__post_init__()
        compiled_patterns(self.redact)


def read_config(
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    defaults: Mapping[str, object] | None = None,
) -> ServeConfig:
    """Return the settings from flags, environment and `defaults`, in this order of precedence. Raises InputError."""
    return read_settings(
        ServeConfig, prefix=ENVIRONMENT_PREFIX, environment=environment, flags=flags, defaults=defaults
    )


def settings_of(spec: RunSpec, stopping: Stopping | None = None) -> dict[str, object]:
    """Return the settings in a run's manifest, as defaults for `read_config`.

    `stopping` is what `train.stopThreshold: auto` chose.
    """
    serve = spec.serve
    threshold = threshold_of(spec.train.stop_threshold, stopping)
    temperature = stopping.temperature if stopping is not None else 1.0
    return {
        "host": serve.host,
        "port": serve.port,
        "engine": serve.engine,
        "precision": serve.precision,
        "max_concurrent": serve.max_concurrent,
        "max_queue": serve.max_queue,
        "max_new_tokens": serve.max_new_tokens,
        "max_prompt_tokens": spec.train.max_prompt_tokens,
        "may_stop": spec.train.reward.mode != "ask_only",
        "assessment": spec.train.assessment,
        # Exactly the manifest's number, unless it is on another scale.
        "stop_threshold": threshold if temperature == 1 else rescale(math.log(threshold), temperature),
        "stop_temperature": temperature,
        "repeat": serve.repeat,
        "deadline_seconds": float(seconds(serve.deadline)),
        "prefix_cache_bytes": byte_count(serve.prefix_cache),
        "redact": serve.redact,
    }


def config_of(spec: RunSpec, *, model: Path, pack: Path, stopping: Stopping | None = None) -> ServeConfig:
    """Return the settings in a run's manifest, without flags and environment."""
    return read_config({}, {"model": model, "pack": pack}, defaults=settings_of(spec, stopping))
