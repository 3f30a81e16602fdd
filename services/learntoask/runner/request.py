"""The request for one attempt of a stage, which its process reads from a JSON file."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import Shard
from learntoask.core.stages.publication import PinnedPublication
from learntoask.store.address import StoreAddress


class StageRequest(BaseModel):
    """`inputs` maps upstream stages to publications, and `files` maps roles to (path, expected digest). Credentials of
    the store are not in the request: the process finds them as `store` says, or in its environment.

    `publishes` is false for a worker whose leader publishes the output. With a `shard` only that shard is computed; the
    process that computes the last one merges them.
    """

    home: Path
    run: str
    store: StoreAddress
    stage: str
    key: str
    spec: RunSpec
    pack: Pack
    inputs: dict[str, PinnedPublication]
    files: dict[str, tuple[Path, str]]
    publishes: bool = True
    shard: Shard | None = None
