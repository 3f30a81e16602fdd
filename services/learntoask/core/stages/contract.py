"""The contract between a stage and whatever runs it: a laptop process or a pod."""

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
    """Told by long steps how far they are; shows a bar on a laptop, is pushed to the operator in a pod."""

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        """`done` of `total` units of the step named `message`; `metrics` are the latest values worth showing."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Share `index` (from 0) of a stage that `count` pods compute together."""

    index: int
    count: int

    def holds(self, name: str) -> bool:
        """Whether what is called `name` belongs to this share: exactly one share holds it, whoever asks."""
        return int(digest_of(name)[:12], 16) % self.count == self.index


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """Everything a stage may read and write.

    `inputs` maps the name of each upstream stage to a folder with its published output (read only).
    `files` maps external inputs (`dataset`, `test`) to local paths of the fetched files.
    `out` is an empty folder: whatever lies in it when the stage returns is published.
    `work` survives a killed attempt of the same key: checkpoints and journals go there.
    `shard`: the share that is to be computed; None for all of it. Only stages that can be merged are ever given one.
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
"""Small figures (counts, metrics, digests) that go into the published manifest, status and final table."""

StageFunction = Callable[[StageContext], StageSummary]
"""Raises StageError with a reason a person can act on; any other exception is a fault of ours."""

Merge = Callable[[StageContext, Sequence[Path]], StageSummary]
"""Makes the output of a stage, in `context.out`, of the folders that its shares published (in their order). Raises as
the stage itself would."""
