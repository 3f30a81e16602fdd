"""One attempt of one stage, in a process of its own: look up, bring the inputs, compute, publish.

The laptop's executor and a pod start the same process. What it reports goes to the file descriptor it was given as
JSON lines: `{"progress": …}` while it works and one `{"result": …}` or `{"failure": …}` at its end.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from learntoask.core.errors import GateFailed, InputError, LearnToAskError, StageError, StoreError
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.pack import Pack
from learntoask.core.parent_death import end_with_parent
from learntoask.core.stages.contract import Merge, Shard, StageContext, StageFunction, StageSummary
from learntoask.core.stages.publication import PinnedPublication, Publication, PublishedFile
from learntoask.runner.inputs import path_digest
from learntoask.runner.run_folder import RunFolder
from learntoask.store.address import StoreAddress
from learntoask.store.factory import open_store
from learntoask.store.protocol import Store
from learntoask.store.unfinished import discard, share_key, unfinished_address

# Stages are imported by name and only here, so that no process pays for what it does not run.
_FUNCTIONS = {
    "fetch": "learntoask.training.base.stage",
    "prepare": "learntoask.labeling.logs.stage",
    "label": "learntoask.labeling.stage",
    "grader": "learntoask.grading.stage",
    "sft": "learntoask.training.sft.stage",
    "grpo": "learntoask.training.grpo.stage",
    "evaluate": "learntoask.evaluation.stage",
    "gate": "learntoask.evaluation.gate",
    "serve": "learntoask.serving.stage",
}
# Stages that several pods may compute a share each of, and what makes one output of the shares.
_MERGES = {"label": "learntoask.labeling.merge"}
_LOOK_AGAIN = 2.0  # seconds between looks whether the others are done
_LOCK_PATIENCE = 30.0  # seconds a new attempt waits for a killed one to let go of the work folder


class StageRequest(BaseModel):
    """`inputs`: upstream stage → publication. `files`: role → (path, expected digest). Credentials of the store are
    not in it: they are found where its address says, or in the environment.

    `publishes` is false for a worker of several that another one publishes for. `shard`: compute this share only; who
    comes last makes one output of all.
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
    said = {"output": publication.output, "summary": publication.summary} if publication else {}
    progress.tell({"result": said})
    return 0


def _attempt(request: StageRequest, progress: PipeProgress) -> Publication | None:
    """The publication of the stage; None after a share of it that was not the last."""
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
        context = StageContext(
            stage=request.stage,
            key=request.key,
            spec=request.spec,
            pack=request.pack,
            inputs=inputs,
            files={role: path for role, (path, _) in request.files.items()},
            out=work / "out",
            work=work,
            progress=progress,
            shard=request.shard,
        )
        lineage = {name: found.output for name, found in publications.items()}
        if request.shard is not None:
            publication = _in_shares(context, request.shard, request.store, lineage, folder)
        else:
            publication = _computed(
                context, store, lambda: _run(context), lineage, publishes=request.publishes
            )
    shutil.rmtree(work, ignore_errors=True)  # published: checkpoints have served their purpose
    return publication


def _computed(
    context: StageContext,
    store: Store,
    compute: Callable[[], StageSummary],
    lineage: Mapping[str, str],
    *,
    key: str | None = None,
    publishes: bool = True,
) -> Publication:
    """What `compute` makes, published under `key` (that of the stage); or, once it is, what another published."""
    shutil.rmtree(context.out, ignore_errors=True)
    context.out.mkdir(parents=True)
    started = time.time()
    summary = compute()
    if not publishes:
        return _awaited(context, lambda: store.find(context.key))
    files = tuple(
        store.put(path, path=str(path.relative_to(context.out)))
        for path in sorted(context.out.rglob("*"))
        if path.is_file()
    )
    return store.publish(
        Publication(
            stage=context.stage,
            key=key or context.key,
            files=files,
            summary=summary,
            inputs=dict(lineage),
            started=started,
            finished=time.time(),
        )
    )


def _in_shares(
    context: StageContext, shard: Shard, address: StoreAddress, lineage: Mapping[str, str], folder: RunFolder
) -> Publication | None:
    """Compute this share, and make one output of all shares when they are there. The first pod waits for that, so that
    somebody does who can tell; the others end, unless theirs was the last."""
    store, shares = open_store(address), open_store(unfinished_address(address))
    keys = [share_key(context.key, Shard(index=at, count=shard.count)) for at in range(shard.count)]
    if shares.find(keys[shard.index]) is None:

        def compute() -> StageSummary:
            return {**_run(context), "of": context.key}

        _computed(context, shares, compute, lineage, key=keys[shard.index])

    def look() -> list[Publication] | Publication | None:
        there = [found for key in keys if (found := shares.find(key)) is not None]
        return there if len(there) == len(keys) else store.find(context.key)

    found: list[Publication] | Publication | None = _awaited(context, look) if shard.index == 0 else look()
    if not isinstance(found, list):
        return found
    merge: Merge = importlib.import_module(_MERGES[context.stage]).merge
    folders = [materialise(shares, one, folder.inputs(one.output)) for one in found]
    publication = _computed(context, store, lambda: merge(context, folders), lineage)
    for one in found:
        discard(shares, one)
    return publication


Found = TypeVar("Found")


def _awaited(context: StageContext, look: Callable[[], Found | None]) -> Found:
    """What `look` finds, once it does. Raises StageError when that takes longer than a whole attempt may."""
    deadline = time.monotonic() + seconds(context.spec.stage_deadline)
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise StageError(
                f"the other pods of stage {context.stage} did not end within stageDeadline "
                f"({context.spec.stage_deadline})",
                reason="OthersMissing",
            )
        time.sleep(_LOOK_AGAIN)
    return found


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


def _pinned(store: Store, name: str, pin: PinnedPublication) -> Publication:
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
