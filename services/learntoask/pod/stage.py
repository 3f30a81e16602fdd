"""`lta stage`: one attempt of one stage in a pod, from its variables to its last words."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from learntoask.core.errors import InputError, LearnToAskError, StoreError
from learntoask.core.manifest import seconds
from learntoask.core.stages.graph import STAGE_BY_NAME
from learntoask.pod import termination
from learntoask.pod.child import run_child
from learntoask.pod.environment import RESOLVE, PodEnvironment, read_environment, termination_log
from learntoask.pod.inputs import fetch_inputs
from learntoask.pod.rendezvous import await_first
from learntoask.pod.work_upload import WorkKeeper
from learntoask.runner.process import StageRequest
from learntoask.runner.run_folder import RunFolder
from learntoask.store.factory import open_store
from learntoask.store.protocol import Store
from learntoask.store.unfinished import Checkpoints, share_key, unfinished

logger = logging.getLogger(__name__)
_KEPT = ("label", "grader", "sft", "grpo", "evaluate")  # stages that go on where they were; others start anew


class Disrupted(BaseException):
    """The pod is told to end: evicted, preempted, suspended. Not an Exception: nobody below is to handle it."""


def run_pod(environment: Mapping[str, str] = os.environ) -> int:
    """Run the attempt that `environment` describes and write how it ended; returns the exit code (core.errors; 143
    where the pod was told to end)."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    log = termination_log(environment)
    try:
        with _disrupted_by_sigterm():
            pod = read_environment(environment)
            if pod.order.stage == RESOLVE:
                termination.write(log, termination.resolved(fetch_inputs(pod, roles=None).digests))
                return 0
            return _stage(pod, lambda words: termination.write(log, words))
    except LearnToAskError as error:
        retryable = isinstance(error, StoreError)
        termination.write(log, termination.failed(error.reason, str(error), retryable=retryable))
        logger.error("%s: %s", error.reason, error)
        return error.exit_code
    except Disrupted:
        termination.write(log, _disruption())
        return 128 + signal.SIGTERM
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        termination.write(log, termination.failed("InternalError", message, retryable=True))
        return 1


def _stage(pod: PodEnvironment, say: Callable[[termination.Words], None]) -> int:
    started, order = time.monotonic(), pod.order
    store = open_store(pod.store)
    there = store.find(order.key)
    if there is not None:
        logger.info("stage %s is published already (%s)", order.stage, order.key[:12])
        say(termination.published(there.output, there.summary, skipped=True, seconds=0.0))
        return 0
    logger.info(
        "stage %s of run %s, attempt %d (%s)",
        order.stage,
        pod.run.metadata.name,
        order.attempt,
        order.key[:12],
    )
    request = _request(pod)
    folder = RunFolder(pod.home, request.run)
    checkpoints = _checkpoints(pod)
    brought = checkpoints.bring(_made(folder.work(order.key))) if checkpoints else 0
    if brought:
        logger.info("going on from the checkpoint in the store (%.1f MB)", brought / 1e6)
    if pod.group is not None:
        await_first(pod.group, timeout=seconds(pod.run.spec.train.distributed.timeout))
    # One of several workers copies: their checkpoints are the same.
    copies = checkpoints if pod.group is None or pod.group.rank == 0 else None
    keeper = WorkKeeper(copies, folder.work(order.key), interval=pod.copy_seconds) if copies else None
    try:
        with keeper or nullcontext(), _progress(pod) as tell:
            final, code = run_child(
                request,
                variables=pod.group.variables if pod.group else {},
                at=folder.path / "request.json",
                on_progress=tell,
            )
    except Disrupted:
        say(_disruption())
        if keeper:
            keeper.last()
        return 128 + signal.SIGTERM
    took = time.monotonic() - started
    if "failure" in final:
        failure = final["failure"]
        say(termination.failed(failure["reason"], failure["message"], retryable=failure["retryable"]))
        logger.error("%s: %s", failure["reason"], failure["message"])
        if keeper:
            keeper.last()
        return code or 1
    result = final["result"]
    logger.info("stage %s has ended well after %.0f s", order.stage, took)
    say(termination.published(result.get("output"), result.get("summary", {}), skipped=False, seconds=took))
    if keeper and copies:
        keeper.stop()
        _forget(copies)
    return 0


def _request(pod: PodEnvironment) -> StageRequest:
    order, metadata = pod.order, pod.run.metadata
    if order.stage not in STAGE_BY_NAME:
        raise InputError(f"LTA_STAGE: stage: there is no stage {order.stage!r}")
    inputs = fetch_inputs(pod, roles=STAGE_BY_NAME[order.stage].files)
    return StageRequest(
        home=pod.home,
        run=metadata.name,
        store=pod.store,
        stage=order.stage,
        key=order.key,
        spec=pod.run.spec,
        pack=inputs.pack,
        inputs=order.inputs,
        files=inputs.files,
        publishes=pod.group is None or pod.group.rank == 0,
        shard=pod.shard,
    )


def _checkpoints(pod: PodEnvironment) -> Checkpoints | None:
    order = pod.order
    if order.stage not in _KEPT:
        return None
    kept: Store = open_store(unfinished(pod.store))
    key = share_key(order.key, pod.shard) if pod.shard else order.key
    return Checkpoints(kept, stage=order.stage, key=key, of=order.key)


def _forget(checkpoints: Checkpoints) -> None:
    try:
        checkpoints.forget()
    except StoreError as error:  # the stage is published: `lta gc` will find them
        logger.warning("its checkpoints could not be removed: %s", error)


@contextmanager
def _progress(pod: PodEnvironment) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Whom the stage's progress is told: the operator, where there is one."""
    if pod.progress is None:
        yield lambda progress: None
        return
    from learntoask.progress.client import ProgressPusher  # noqa: PLC0415 - grpc
    from learntoask.progress.report import ProgressReport  # noqa: PLC0415

    subject = ProgressReport(
        namespace=pod.run.metadata.namespace or "default",
        run=pod.run.metadata.name,
        stage=pod.order.stage,
        attempt=pod.order.attempt,
        index=pod.index,
    )
    with ProgressPusher(pod.progress, token=pod.token, subject=subject) as pusher:
        yield pusher.update


@contextmanager
def _disrupted_by_sigterm() -> Iterator[None]:
    """Raise Disrupted where the first SIGTERM finds the program; what follows is left to end in peace."""

    def disrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Disrupted

    before = signal.signal(signal.SIGTERM, disrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _disruption() -> termination.Words:
    message = "the pod was told to end; its checkpoint is kept, and a new attempt goes on from it"
    return termination.failed("Disrupted", message, retryable=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
