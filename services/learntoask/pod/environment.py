"""What a pod is told: variables and mounted files, as the operator renders them (docs/cluster.md has the table)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from learntoask.core.errors import InputError
from learntoask.core.input_checks import explain
from learntoask.core.manifest import LearnToAskRun, parse_manifest
from learntoask.core.stages.contract import Shard
from learntoask.core.stages.publication import PinnedPublication
from learntoask.store.address import StoreAddress, address_of

RESOLVE = "resolve"
_RUN_FILE = "/etc/learntoask/run.json"
_TOKEN = "/var/run/secrets/learntoask/progress/token"
_TERMINATION_LOG = "/dev/termination-log"


class StageOrder(BaseModel):
    """`inputs`: upstream stage → publication; `pack`: digest of the whole pack; `files`: role → digest. What is fetched
    must have these digests: the key was computed from them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    key: str = ""
    attempt: int = 1
    inputs: dict[str, PinnedPublication] = {}
    pack: str | None = None
    files: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pods that train together; this one is worker `rank` of `size`. `host` and `port` are where the first listens."""

    rank: int
    size: int
    host: str
    port: int

    @property
    def variables(self) -> dict[str, str]:
        """As torch.distributed reads them."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": "0",
            "MASTER_ADDR": self.host,
            "MASTER_PORT": str(self.port),
        }


@dataclass(frozen=True, kw_only=True)
class PodEnvironment:
    """`index` is the pod's among those of its Job, from 0. Without `progress` nobody is told. Checkpoints are copied to
    the store every `copy_seconds`."""

    order: StageOrder
    run: LearnToAskRun
    home: Path
    store: StoreAddress
    index: int
    group: Group | None
    shard: Shard | None
    progress: str | None
    token: Path
    copy_seconds: float


def read_environment(environment: Mapping[str, str]) -> PodEnvironment:
    """Raises InputError naming the variable at fault."""
    run_file = Path(environment.get("LTA_RUN_FILE") or _RUN_FILE)
    try:
        run = parse_manifest(run_file.read_text(encoding="utf-8"), where=str(run_file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"LTA_RUN_FILE: {run_file} cannot be read: {error}") from error
    home = Path(environment.get("LTA_HOME") or "/work").resolve()
    index = _count(environment, "JOB_COMPLETION_INDEX", default=0)
    shards = _count(environment, "LTA_SHARDS", default=1)
    return PodEnvironment(
        order=_order(environment),
        run=run,
        home=home,
        store=address_of(run.spec.store, folder=home, default=home / "store", environment=environment),
        index=index,
        group=_group(environment, index),
        shard=Shard(index=index, count=shards) if shards > 1 else None,
        progress=environment.get("LTA_PROGRESS_ADDRESS") or None,
        token=Path(environment.get("LTA_PROGRESS_TOKEN") or _TOKEN),
        copy_seconds=float(_count(environment, "LTA_CHECKPOINT_SECONDS", default=30)),
    )


def termination_log(environment: Mapping[str, str]) -> Path:
    """Where the last words go."""
    return Path(environment.get("LTA_TERMINATION_LOG") or _TERMINATION_LOG)


def _order(environment: Mapping[str, str]) -> StageOrder:
    text = environment.get("LTA_STAGE")
    if not text:
        raise InputError(
            "LTA_STAGE: is not set; `lta stage` runs in a pod, on a laptop it is `lta run MANIFEST`"
        )
    try:
        order = StageOrder.model_validate(json.loads(text))
    except ValidationError as error:
        raise InputError(f"LTA_STAGE: {explain(error, StageOrder)}") from error
    except ValueError as error:
        raise InputError(f"LTA_STAGE: is not valid JSON: {error}") from error
    if not order.key and order.stage != RESOLVE:
        raise InputError(f"LTA_STAGE: key: stage {order.stage} needs one")
    return order


def _group(environment: Mapping[str, str], index: int) -> Group | None:
    size = _count(environment, "LTA_WORKERS", default=1)
    if size == 1:
        return None
    host, _, port = environment.get("LTA_RENDEZVOUS", "").rpartition(":")
    if not host or not port.isdigit():
        raise InputError("LTA_RENDEZVOUS: give host:port of the first of the workers")
    if index >= size:
        raise InputError(f"JOB_COMPLETION_INDEX: {index} is none of {size} workers (LTA_WORKERS)")
    return Group(rank=index, size=size, host=host, port=int(port))


def _count(environment: Mapping[str, str], name: str, *, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdigit():
        raise InputError(f"{name}: {text!r} is not a number")
    return int(text)
