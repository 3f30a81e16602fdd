"""Settings of a grader service, read from flags and environment at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from learntoask.rpc.config import ListenConfig, Port, Positive, Seconds, read_settings

ENVIRONMENT_PREFIX = "LTA_GRADER_SERVE_"


@dataclass(frozen=True, kw_only=True)
class GraderConfig(ListenConfig):
    """Every field is a flag and the environment variable LTA_GRADER_SERVE_<FIELD>; a flag wins."""

    port: Port = 50061

    max_batch: Positive = 64  # cases graded together, of all callers
    batch_wait_seconds: Seconds = 0.002  # how long a small batch waits for more
    max_queue: Positive = 4096  # cases that may be graded or wait
    max_cases: Positive = 1024  # in one call
    deadline_seconds: Annotated[float, Field(gt=0)] = 120.0  # longest time of one call

    journals: Path | None = None  # folder for a judge's answers, kept over restarts; None keeps none

    max_message_bytes: Positive = 65536
    max_context_bytes: Positive = 4 * 2**20


def read_config(environment: Mapping[str, str], flags: Mapping[str, object]) -> GraderConfig:
    """Return the settings from flags and environment; flags win, None means not given. Raises InputError."""
    return read_settings(GraderConfig, prefix=ENVIRONMENT_PREFIX, environment=environment, flags=flags)
