"""One attempt of one stage, in a process of its own: look up, bring the inputs, compute, publish.

A pod runs the same entry point. What it reports goes to the file descriptor it was given as JSON lines:
`{"progress": …}` while it works and one `{"result": …}` or `{"failure": …}` at its end.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from learntoask.core.errors import GateFailed, InputError, LearnToAskError, StageError, StoreError
from learntoask.core.lineage import end_with_parent
from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.publication import Publication, PublishedFile
from learntoask.core.stage import StageContext, StageFunction, StageSummary
from learntoask.local.home import RunFolder
from learntoask.local.sources import path_digest
from learntoask.store.address import StoreAddress
from learntoask.store.opening import open_store
from learntoask.store.protocol import Store

# Stages are imported by name and only here, so that no process pays for what it does not run.
_FUNCTIONS = {
    "fetch": "learntoask.training.fetch",
    "prepare": "learntoask.labeling.prepare",
    "label": "learntoask.labeling.stage",
    "grader": "learntoask.grading.stage",
    "sft": "learntoask.training.sft_stage",
    "grpo": "learntoask.training.grpo_stage",
    "evaluate": "learntoask.evaluation.stage",
    "gate": "learntoask.evaluation.gate",
    "serve": "learntoask.serving.stage",
}
_LOCK_PATIENCE = 30.0  # seconds a new attempt waits for a killed one to let go of the work folder


class Pinned(BaseModel):
    """A publication to read: its key, and the digest of the output that was planned with."""

    key: str
    output: str


class StageRequest(BaseModel):
    """`inputs`: upstream stage → publication. `files`: role → (path, expected digest). Credentials of the store are
    not in it: they are found where its address says, or in the environment."""

    home: Path
    run: str
    store: StoreAddress
    stage: str
    key: str
    spec: RunSpec
    pack: Pack
    inputs: dict[str, Pinned]
    files: dict[str, tuple[Path, str]]


class PipeProgress:
    """Progress as JSON lines on a file descriptor, at most ten a second."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._last = 0.0

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        now = time.monotonic()
        if now - self._last < 0.1 and done < total:
            return
        self._last = now
        self.tell({"progress": {"done": done, "total": total, "message": message, "metrics": metrics}})

    def tell(self, line: dict[str, Any]) -> None:
        try:
            os.write(self._descriptor, (json.dumps(line) + "\n").encode())
        except BrokenPipeError:
            os._exit(1)  # nobody is listening any more: the run was killed


def main(request_path: Path, descriptor: int) -> int:
    """Run the attempt described in `request_path`; the exit code says how it ended (see core.errors)."""
    end_with_parent()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    progress = PipeProgress(descriptor)
    try:
        request = StageRequest.model_validate_json(request_path.read_bytes())
        publication = _attempt(request, progress)
    except LearnToAskError as error:
        # The same input fails the same way again; only the store may recover by itself.
        retryable = isinstance(error, StoreError)
        progress.tell({"failure": {"reason": error.reason, "message": str(error), "retryable": retryable}})
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        progress.tell({"failure": {"reason": "InternalError", "message": message, "retryable": True}})
        return 1
    progress.tell({"result": {"output": publication.output}})
    return 0


def _attempt(request: StageRequest, progress: PipeProgress) -> Publication:
    store, folder = open_store(request.store), RunFolder(request.home, request.run)
    work = folder.work(request.key)
    with _exclusive(work):
        there = store.find(request.key)
        if there is not None:
            return there
        for role, (path, digest) in request.files.items():
            if path_digest(path) != digest:
                raise InputError(f"{path} ({role}) changed while the run was under way; run again")
        publications = {name: _pinned(store, name, pin) for name, pin in request.inputs.items()}
        inputs = {
            name: materialise(store, found, folder.inputs(found.output))
            for name, found in publications.items()
        }
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        started = time.time()
        context = StageContext(
            stage=request.stage,
            key=request.key,
            spec=request.spec,
            pack=request.pack,
            inputs=inputs,
            files={role: path for role, (path, _) in request.files.items()},
            out=out,
            work=work,
            progress=progress,
        )
        summary = _run(context)
        publication = Publication(
            stage=request.stage,
            key=request.key,
            files=tuple(
                store.put(path, path=str(path.relative_to(out)))
                for path in sorted(out.rglob("*"))
                if path.is_file()
            ),
            summary=summary,
            inputs={name: found.output for name, found in publications.items()},
            started=started,
            finished=time.time(),
        )
        publication = store.publish(publication)
    shutil.rmtree(work, ignore_errors=True)  # published: checkpoints have served their purpose
    return publication


def _run(context: StageContext) -> StageSummary:
    function: StageFunction = importlib.import_module(_FUNCTIONS[context.stage]).run
    try:
        return function(context)
    except (
        GateFailed
    ) as refusal:  # a verdict is a result: it is published, and the planner ends the run on it
        return {"passed": False, "message": str(refusal)}
    except OSError as error:
        if error.filename and str(error.filename).startswith(str(context.work)):
            raise StageError(
                f"{error.filename} could not be written: {error.strerror}", reason="DiskError"
            ) from error
        raise


def _pinned(store: Store, name: str, pin: Pinned) -> Publication:
    """The published output of stage `name` that this stage's key was computed from."""
    found = store.find(pin.key)
    if found is None:
        raise StoreError(f"the output of stage {name} is no longer in the store; run again to recompute it")
    if found.output != pin.output:
        raise StageError(
            f"stage {name} was published anew with another result while the run was under way; run again",
            reason="InputReplaced",
        )
    return found


def materialise(store: Store, publication: Publication, target: Path) -> Path:
    """Bring every file of `publication` to `target`, unless they were brought before (a loss of power may have cut
    them since)."""
    complete = target / ".complete"
    if not complete.exists() or not all(_there(target / file.path, file) for file in publication.files):
        for file in publication.files:
            store.fetch(file, target / file.path)
        target.mkdir(parents=True, exist_ok=True)
        complete.touch()
    return target


def _there(path: Path, file: PublishedFile) -> bool:
    try:
        return path.stat().st_size == file.size
    except FileNotFoundError:
        return False


@contextmanager
def _exclusive(work: Path) -> Iterator[None]:
    """Hold the work folder: a killed attempt may take a moment to end, and two would ruin each other's checkpoints."""
    work.mkdir(parents=True, exist_ok=True)
    with (work.parent / f"{work.name}.lock").open("a+") as lock:
        patience = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > patience:
                    raise StageError(
                        f"{work} is still in use by an earlier attempt", reason="WorkFolderBusy"
                    ) from None
                time.sleep(0.2)
        yield
