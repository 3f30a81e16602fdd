"""Run a training stage on several workers.

In a cluster every worker is a pod, and its environment holds its rank (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT).
Elsewhere the stage starts the workers with torchrun's launcher, forwards the leader's progress, and ends all of them
when one fails.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from learntoask.core import errors
from learntoask.core.errors import InputError, StageError
from learntoask.core.manifest import seconds
from learntoask.core.process.exit import describe_exit
from learntoask.core.stages.contract import Progress, StageContext, StageSummary
from learntoask.training.distributed.process_group import ALONE, Workers, join
from learntoask.training.distributed.worker import FAILURE, PROGRESS, SUMMARY, WorkerRequest

_POLL = 0.2  # seconds between two reads of the leader's progress

Compute = Callable[[StageContext, Workers], StageSummary]


def run_on_workers(context: StageContext, compute: Compute, *, module: str) -> StageSummary:
    """Return the summary of the stage, computed by the workers that `spec.train.distributed` asks for.

    This process calls `compute` if it is one of the workers, or if there is only one; otherwise it starts workers that
    call `run(context)` of `module`. Raises the error of the first worker that fails, or StageError (WorkerLost) with
    how it ended.
    """
    settings = context.spec.train.distributed
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _as_worker(context, compute)
    if settings.workers == 1 and settings.zero == 0:
        return compute(context, ALONE)
    return _launch(context, module)


def _as_worker(context: StageContext, compute: Compute) -> StageSummary:
    settings = context.spec.train.distributed
    size = int(os.environ["WORLD_SIZE"])
    if size != settings.workers:
        raise InputError(
            f"there are {size} workers (WORLD_SIZE), and spec.train.distributed.workers is {settings.workers}"
        )
    workers = join(
        rank=int(os.environ["RANK"]),
        size=size,
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        timeout_seconds=seconds(settings.timeout),
    )
    try:
        summary = compute(context, workers)
        workers.barrier()
        return summary
    finally:
        dist.destroy_process_group()


def _launch(context: StageContext, module: str) -> StageSummary:
    messages = context.work / "workers"
    shutil.rmtree(messages, ignore_errors=True)
    messages.mkdir(parents=True)
    request = WorkerRequest(
        module=module,
        stage=context.stage,
        key=context.key,
        spec=context.spec,
        pack=context.pack,
        inputs=dict(context.inputs),
        files=dict(context.files),
        out=context.out,
        work=context.work,
        messages=messages,
    )
    path = messages / "request.json"
    path.write_text(request.model_dump_json(by_alias=True))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=context.spec.train.distributed.workers,
        run_id=context.key[:32],
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=_POLL,
    )
    with _forward_progress(messages / PROGRESS, context.progress):
        try:
            elastic_launch(config, sys.executable)("-m", "learntoask.training.distributed.worker", str(path))
        except ChildFailedError as error:
            raise _failure(messages, error) from error
    return dict(json.loads((messages / SUMMARY).read_text()))


def _failure(messages: Path, error: ChildFailedError) -> errors.LearnToAskError:
    """The error that the first failed worker has written, else how it ended."""
    rank, first = error.get_first_failure()
    written = messages / FAILURE.format(rank=rank)
    if written.exists():
        failure = json.loads(written.read_text())
        return getattr(errors, failure["type"])(failure["message"], reason=failure["reason"])
    return StageError(
        f"worker {rank} {describe_exit(first.exitcode)}, so all were ended; the last checkpoint is kept and a new "
        "attempt continues from it",
        reason="WorkerLost",
    )


@contextmanager
def _forward_progress(path: Path, progress: Progress) -> Iterator[None]:
    """Call `progress` with the latest line of `path`, every `_POLL` seconds until the context is left."""
    over = threading.Event()
    read = 0

    def forward() -> None:
        nonlocal read
        lines = path.read_bytes()[read:].rpartition(b"\n")[0] if path.exists() else b""
        read += len(lines) + bool(lines)
        for line in lines.splitlines()[-1:]:
            latest = json.loads(line)
            progress.update(latest["done"], latest["total"], latest["message"], **latest["metrics"])

    def listen() -> None:
        while not over.wait(_POLL):
            forward()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()
        forward()
