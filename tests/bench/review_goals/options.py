"""What the goals of the review queue are measured with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """`quick` takes a tenth of the repetitions; `storages` are `folder` and `minio`."""

    quick: bool
    seed: int
    storages: tuple[str, ...]
