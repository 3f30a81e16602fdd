"""`lta stage`: one attempt of one stage in a pod, from its variables to its termination message."""

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

from learntoask.core.errors import InputError, LearnToAskError, StoreError
from learntoask.core.json_object import Json
from learntoask.core.manifest import seconds
from learntoask.core.pod_contract import DISRUPTED, LTA_STAGE, TerminationMessage
from learntoask.core.stages.graph import RESOLVE, STAGE_BY_NAME
from learntoask.pod.child import run_child
from learntoask.pod.environment import PodEnvironment, read_environment, termination_log
from learntoask.pod.inputs import fetch_inputs
from learntoask.pod.rendezvous import wait_for_first_worker
from learntoask.pod.store_check import check_store
from learntoask.pod.termination import failure_message, success_message, write_message
from learntoask.pod.work_upload import WorkUploader
from learntoask.rpc.tracing import tracing
from learntoask.runner.request import StageRequest
from learntoask.runner.run_folder import RunFolder
from learntoask.runner.stage_trace import SERVICE, StageTrace, TracedAttempt
from learntoask.store.factory import open_store
from learntoask.store.protocol import Store
from learntoask.store.unfinished import Checkpoints, share_key, unfinished_address

logger = logging.getLogger(__name__)
# The other stages start from their beginning.
_RESUMABLE = ("label", "grader", "draw", "calibrate", "sft", "grpo", "evaluate")
_SIGTERM_CODE = 128 + signal.SIGTERM


class Disrupted(BaseException):
    """The pod got SIGTERM: it was evicted, preempted or suspended. No code below handles it, as it is no Exception."""


def run_pod(environment: Mapping[str, str] = os.environ) -> int:
    """Run the attempt that `environment` describes and write its termination message.

    Return the exit code: that of the error (core.errors), or 143 if the pod got SIGTERM.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    with tracing(SERVICE):
        return _run_traced(environment, _LastWords(termination_log(environment)))


class _LastWords:
    """Writes the termination message, and ends the trace of the attempt with it once there is one."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.trace: StageTrace | None = None

    def write(self, message: TerminationMessage) -> None:
        write_message(self._log, message)
        if self.trace is not None:
            fields = message.model_dump()
            self.trace.end({"failure": fields} if message.reason else {"result": fields})


def _run_traced(environment: Mapping[str, str], words: _LastWords) -> int:
    try:
        with _disrupted_by_sigterm():
            pod = read_environment(environment)
            words.trace = StageTrace(_traced_attempt(pod))
            words.trace.mark_logs()
            if pod.order.stage == RESOLVE:
                check_store(pod)
                words.write(TerminationMessage(inputs=fetch_inputs(pod, roles=None).record))
                return 0
            return _run_stage(pod, words.write, words.trace.variables)
    except LearnToAskError as error:
        words.write(failure_message(error.reason, str(error), retryable=error.retryable))
        logger.error("%s: %s", error.reason, error)
        return error.exit_code
    except Disrupted:
        words.write(_disruption_message())
        return _SIGTERM_CODE
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        words.write(failure_message("InternalError", message, retryable=True))
        return 1


def _traced_attempt(pod: PodEnvironment) -> TracedAttempt:
    order, metadata = pod.order, pod.run.metadata
    return TracedAttempt(
        run=metadata.name,
        namespace=metadata.namespace or "",
        stage=order.stage,
        key=order.key,
        attempt=order.attempt,
        index=pod.index,
        pack=order.pack or "",
        inputs=order.inputs,
        files=order.files,
    )


def _run_stage(
    pod: PodEnvironment, write: Callable[[TerminationMessage], None], variables: Mapping[str, str]
) -> int:
    """Run the attempt unless its output is published; `write` gets the termination message. Return the exit code.

    `variables` are added to the environment of the stage's process.
    """
    started, order = time.monotonic(), pod.order
    store = open_store(pod.store)
    published = store.find(order.key)
    if published is not None:
        logger.info("stage %s is published already (%s)", order.stage, order.key[:12])
        write(success_message(published.output, published.summary, skipped=True, seconds=0.0))
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
    work = folder.work(order.key)
    checkpoints = _checkpoints(pod)
    if checkpoints is not None:
        work.mkdir(parents=True, exist_ok=True)
        if restored := checkpoints.restore(work):
            logger.info("going on from the checkpoint in the store (%.1f MB)", restored / 1e6)
    if pod.group is not None:
        timeout = seconds(pod.run.spec.train.distributed.timeout)
        wait_for_first_worker(pod.group, timeout=timeout)
    # The checkpoints of all workers are the same, so only worker 0 uploads.
    copies = checkpoints if pod.group is None or pod.group.rank == 0 else None
    uploader = WorkUploader(copies, work, interval=pod.copy_seconds) if copies else None
    try:
        with uploader or nullcontext(), _progress_pusher(pod) as push:
            final, code = run_child(
                request,
                variables={**variables, **(pod.group.variables if pod.group else {})},
                at=folder.path / "request.json",
                on_progress=push,
            )
    except Disrupted:
        write(_disruption_message())
        if uploader:
            uploader.upload_last()
        return _SIGTERM_CODE
    duration = time.monotonic() - started
    if "failure" in final:
        failure = final["failure"]
        write(failure_message(failure["reason"], failure["message"], retryable=failure["retryable"]))
        logger.error("%s: %s", failure["reason"], failure["message"])
        if uploader:
            uploader.upload_last()
        return code or 1
    result = final["result"]
    logger.info("stage %s has ended well after %.0f s", order.stage, duration)
    write(success_message(result.get("output"), result.get("summary", {}), skipped=False, seconds=duration))
    if uploader and copies:
        uploader.stop()
        _remove_checkpoints(copies)
    return 0


def _request(pod: PodEnvironment) -> StageRequest:
    order, metadata = pod.order, pod.run.metadata
    if order.stage not in STAGE_BY_NAME:
        raise InputError(f"{LTA_STAGE}: stage: there is no stage {order.stage!r}")
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
    if order.stage not in _RESUMABLE:
        return None
    unfinished: Store = open_store(unfinished_address(pod.store))
    key = share_key(order.key, pod.shard) if pod.shard else order.key
    return Checkpoints(unfinished, stage=order.stage, key=key, of=order.key)


def _remove_checkpoints(checkpoints: Checkpoints) -> None:
    try:
        checkpoints.forget()
    except StoreError as error:  # the stage is published: `lta gc` will find them
        logger.warning("its checkpoints could not be removed: %s", error)


@contextmanager
def _progress_pusher(pod: PodEnvironment) -> Iterator[Callable[[Json], None]]:
    """A function that pushes the stage's progress to the operator, or does nothing without an operator's address."""
    if pod.progress is None:
        yield lambda progress: None
        return
    from learntoask.progress.client import ProgressPusher  # noqa: PLC0415 - grpc
    from learntoask.progress.report import ProgressReport  # noqa: PLC0415
    from learntoask.rpc.channels import Tls  # noqa: PLC0415

    subject = ProgressReport(
        namespace=pod.run.metadata.namespace or "default",
        run=pod.run.metadata.name,
        stage=pod.order.stage,
        attempt=pod.order.attempt,
        index=pod.index,
    )
    tls = Tls(authority=pod.progress_ca) if pod.progress_ca else None
    with ProgressPusher(pod.progress, token=pod.token, tls=tls, subject=subject) as pusher:
        yield pusher.update


@contextmanager
def _disrupted_by_sigterm() -> Iterator[None]:
    """The first SIGTERM raises Disrupted in the main thread; later ones are ignored so that clean-up can finish."""

    def disrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Disrupted

    before = signal.signal(signal.SIGTERM, disrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _disruption_message() -> TerminationMessage:
    message = "the pod was told to end; its checkpoint is kept, and a new attempt goes on from it"
    return failure_message(DISRUPTED, message, retryable=True)
