"""What the operator tells a pod, parsed once: variables and mounted files (names in core.pod_contract)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from learntoask.core import pod_contract as contract
from learntoask.core.documents.input_checks import explain
from learntoask.core.errors import InputError
from learntoask.core.manifest import LearnToAskRun, parse_manifest
from learntoask.core.pod_contract import StageOrder
from learntoask.core.stages.contract import Shard
from learntoask.core.stages.graph import RESOLVE
from learntoask.store.address import StoreAddress, address_of


@dataclass(frozen=True, kw_only=True)
class WorkerGroup:
    """Pods that train one policy together. This pod is worker `rank` of `size`; worker 0 listens at `host`:`port`."""

    rank: int
    size: int
    host: str
    port: int

    @property
    def variables(self) -> dict[str, str]:
        """The same as environment variables of torch.distributed."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": "0",
            "MASTER_ADDR": self.host,
            "MASTER_PORT": str(self.port),
        }


@dataclass(frozen=True, kw_only=True)
class PodEnvironment:
    """All that a pod is told.

    `index` is the pod's index in its Job, from 0. `progress` is the operator's `host:port`, or None to push no
    progress; `token` is the file that the pod identifies itself with there, and `progress_ca` has the authority of the
    operator's certificate. Checkpoints are uploaded every `copy_seconds`.
    """

    order: StageOrder
    run: LearnToAskRun
    home: Path
    store: StoreAddress
    index: int
    group: WorkerGroup | None
    shard: Shard | None
    progress: str | None
    token: Path
    progress_ca: Path | None
    copy_seconds: float


def read_environment(environment: Mapping[str, str]) -> PodEnvironment:
    """Parse the variables. Raises InputError naming the variable at fault."""
    run_file = Path(environment.get(contract.LTA_RUN_FILE) or contract.RUN_FILE)
    try:
        run = parse_manifest(run_file.read_text(encoding="utf-8"), where=str(run_file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{contract.LTA_RUN_FILE}: {run_file} cannot be read: {error}") from error
    home = Path(environment.get(contract.LTA_HOME) or contract.WORK_FOLDER).resolve()
    index = _count(environment, contract.JOB_COMPLETION_INDEX, default=0)
    shards = _count(environment, contract.LTA_SHARDS, default=1)
    return PodEnvironment(
        order=_order(environment),
        run=run,
        home=home,
        store=address_of(run.spec.store, folder=home, default=home / "store", environment=environment),
        index=index,
        group=_group(environment, index),
        shard=Shard(index=index, count=shards) if shards > 1 else None,
        progress=environment.get(contract.LTA_PROGRESS_ADDRESS) or None,
        token=Path(environment.get(contract.LTA_PROGRESS_TOKEN) or contract.TOKEN_FILE),
        progress_ca=Path(ca) if (ca := environment.get(contract.LTA_PROGRESS_CA)) else None,
        copy_seconds=float(_count(environment, contract.LTA_CHECKPOINT_SECONDS, default=30)),
    )


def termination_log(environment: Mapping[str, str]) -> Path:
    """The file for the termination message."""
    return Path(environment.get(contract.LTA_TERMINATION_LOG) or contract.TERMINATION_LOG)


def _order(environment: Mapping[str, str]) -> StageOrder:
    text = environment.get(contract.LTA_STAGE)
    if not text:
        raise InputError(
            f"{contract.LTA_STAGE}: is not set; `lta stage` runs in a pod, on a laptop use `lta run MANIFEST`"
        )
    try:
        order = StageOrder.model_validate(json.loads(text))
    except ValidationError as error:
        raise InputError(f"{contract.LTA_STAGE}: {explain(error, StageOrder)}") from error
    except ValueError as error:
        raise InputError(f"{contract.LTA_STAGE}: is not valid JSON: {error}") from error
    if not order.key and order.stage != RESOLVE:
        raise InputError(f"{contract.LTA_STAGE}: key: stage {order.stage} needs one")
    return order


def _group(environment: Mapping[str, str], index: int) -> WorkerGroup | None:
    size = _count(environment, contract.LTA_WORKERS, default=1)
    if size == 1:
        return None
    host, _, port = environment.get(contract.LTA_RENDEZVOUS, "").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"{contract.LTA_RENDEZVOUS}: give host:port of the first worker")
    if index >= size:
        raise InputError(
            f"{contract.JOB_COMPLETION_INDEX}: {index} is not below the number of workers, {size} "
            f"({contract.LTA_WORKERS})"
        )
    return WorkerGroup(rank=index, size=size, host=host, port=int(port))


def _count(environment: Mapping[str, str], name: str, *, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdigit():
        raise InputError(f"{name}: {text!r} is not a number")
    return int(text)
