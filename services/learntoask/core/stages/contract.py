"""The contract between a stage and the process that runs it, on a laptop or in a pod."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from learntoask.core.digest import digest_of
from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack


class Progress(Protocol):
    """Receiver of a stage's progress. A laptop shows it as a bar, a pod sends it to the operator."""

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        """Report that `done` of `total` units of the step `message` are complete, with the latest `metrics`."""


ProgressCallback = Callable[[int, int], None]
"""Called within one step with the number of completed units and the number of all units."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of the `count` shards of a stage, which as many pods compute in parallel; `index` counts from 0."""

    index: int
    count: int

    def holds(self, name: str) -> bool:
        """Whether the item `name` belongs to this shard. Each item belongs to exactly one shard."""
        return int(digest_of(name)[:12], 16) % self.count == self.index


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """Everything that a stage reads and writes.

    `inputs` maps the name of each upstream stage to a folder with its published output (read-only).
    `files` maps external inputs (`dataset`, `test`, `base`) to local paths of the fetched files.
    `out` is an empty folder; its content is published when the stage returns.
    `work` is a folder that survives a killed attempt of the same key, for checkpoints and journals.
    `shard` is the part of the output to compute, or None for all of it. Only a stage with a Merge gets one.
    """

    stage: str
    key: str
    spec: RunSpec
    pack: Pack
    inputs: Mapping[str, Path]
    files: Mapping[str, Path]
    out: Path
    work: Path
    progress: Progress
    shard: Shard | None = None


StageSummary = dict[str, JsonValue]
"""Counts, metrics and digests for the published manifest, the run's status and the final table."""

StageFunction = Callable[[StageContext], StageSummary]
"""Computes a stage. Raises StageError with a reason that a user can act on; any other exception is a bug."""

Merge = Callable[[StageContext, Sequence[Path]], StageSummary]
"""Computes the output of a stage in `context.out` from the folders that its shards published, in the order of their
indices. Raises the errors of the stage itself."""
