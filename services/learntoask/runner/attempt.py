"""One attempt of a stage: look up its key, bring the inputs, compute, publish."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from learntoask.core.errors import InputError, StageError, StoreError
from learntoask.core.stages.contract import Progress, StageContext
from learntoask.core.stages.publication import PinnedPublication, Publication
from learntoask.runner.inputs import path_digest
from learntoask.runner.materialise import materialise
from learntoask.runner.publishing import call_stage, compute_and_publish
from learntoask.runner.request import StageRequest
from learntoask.runner.run_folder import RunFolder
from learntoask.runner.shards import compute_shard
from learntoask.store.factory import open_store
from learntoask.store.protocol import Store

_LOCK_PATIENCE = 30.0  # seconds to wait until a killed attempt has released the work folder


def run_attempt(request: StageRequest, progress: Progress) -> Publication | None:
    """Return the publication of the stage; None after a shard that was not the last.

    Raises InputError when a file changed since the run was planned, StoreError and StageError when an input is gone or
    was replaced, and the errors of the stage's function.
    """
    store, folder = open_store(request.store), RunFolder(request.home, request.run)
    work = folder.work(request.key)
    with _locked(work):
        published = store.find(request.key)
        if published is not None:
            return published
        for role, (path, digest) in request.files.items():
            if path_digest(path) != digest:
                raise InputError(f"{path} ({role}) changed while the run was under way; run again")
        publications = {name: _find_input(store, name, pinned) for name, pinned in request.inputs.items()}
        context = StageContext(
            stage=request.stage,
            key=request.key,
            spec=request.spec,
            pack=request.pack,
            inputs={
                name: materialise(store, found, folder.inputs(found.output))
                for name, found in publications.items()
            },
            files={role: path for role, (path, _) in request.files.items()},
            out=work / "out",
            work=work,
            progress=progress,
            shard=request.shard,
        )
        lineage = {name: found.output for name, found in publications.items()}
        if request.shard is not None:
            publication = compute_shard(context, request.shard, request.store, lineage, folder)
        else:
            publication = compute_and_publish(
                context, store, lambda: call_stage(context), lineage, publishes=request.publishes
            )
    shutil.rmtree(work, ignore_errors=True)  # the checkpoints of a published stage are not needed any more
    return publication


def _find_input(store: Store, name: str, pinned: PinnedPublication) -> Publication:
    """Return the publication of stage `name` whose output this stage's key was computed from."""
    found = store.find(pinned.key)
    if found is None:
        raise StoreError(f"the output of stage {name} is no longer in the store; run again to recompute it")
    if found.output != pinned.output:
        raise StageError(
            f"stage {name} was published again with another result while the run was under way; run again",
            reason="InputReplaced",
        )
    return found


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Hold the lock of the work folder. Raises StageError when it is not free in time.

    A killed attempt may still be ending, and two attempts would damage each other's checkpoints.
    """
    work.mkdir(parents=True, exist_ok=True)
    with (work.parent / f"{work.name}.lock").open("a+") as lock:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StageError(
                        f"{work} is still in use by an earlier attempt", reason="WorkFolderBusy"
                    ) from None
                time.sleep(0.2)
        yield
