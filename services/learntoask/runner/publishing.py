"""Call the function of a stage and publish the files that it writes."""

from __future__ import annotations

import importlib
import shutil
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from learntoask.core.errors import GateFailed, StageError
from learntoask.core.manifest import seconds
from learntoask.core.stages.contract import StageContext, StageFunction, StageSummary
from learntoask.core.stages.publication import Publication
from learntoask.store.protocol import Store

# A stage's module is imported only in the process that computes the stage, because several import torch.
_MODULES = {
    "fetch": "learntoask.training.base.stage",
    "prepare": "learntoask.labeling.logs.stage",
    "label": "learntoask.labeling.stage",
    "grader": "learntoask.grading.stage",
    "draw": "learntoask.calibration.draw.stage",
    "calibrate": "learntoask.calibration.stage",
    "sft": "learntoask.training.sft.stage",
    "grpo": "learntoask.training.grpo.stage",
    "evaluate": "learntoask.evaluation.stage",
    "gate": "learntoask.evaluation.gate",
    "serve": "learntoask.serving.stage",
}
_POLL_SECONDS = 2.0

Found = TypeVar("Found")


def call_stage(context: StageContext) -> StageSummary:
    """Call the stage's function and return its summary. A gate's refusal is a summary too, with `passed` false."""
    function: StageFunction = importlib.import_module(_MODULES[context.stage]).run
    try:
        return function(context)
    except (
        GateFailed
    ) as refusal:  # a verdict is published like any result; the planner ends the run because of it
        return {"passed": False, "message": str(refusal)}
    except OSError as error:
        if error.filename and str(error.filename).startswith(str(context.work)):
            raise StageError(
                f"{error.filename} could not be written: {error.strerror}", reason="DiskError"
            ) from error
        raise


def compute_and_publish(
    context: StageContext,
    store: Store,
    compute: Callable[[], StageSummary],
    lineage: Mapping[str, str],
    *,
    key: str | None = None,
    publishes: bool = True,
) -> Publication:
    """Call `compute`, and publish the files in `context.out` under `key` (by default the stage's key).

    With `publishes` false, wait instead until another process has published the stage.
    """
    shutil.rmtree(context.out, ignore_errors=True)
    context.out.mkdir(parents=True)
    started = time.time()
    summary = compute()
    if not publishes:
        return wait_for(context, lambda: store.find(context.key))
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


def wait_for(context: StageContext, find: Callable[[], Found | None]) -> Found:
    """Call `find` until it returns something, and return that. Raises StageError after `spec.stageDeadline`."""
    deadline = time.monotonic() + seconds(context.spec.stage_deadline)
    while (found := find()) is None:
        if time.monotonic() > deadline:
            raise StageError(
                f"the other pods of stage {context.stage} did not end within stageDeadline "
                f"({context.spec.stage_deadline})",
                reason="OthersMissing",
            )
        time.sleep(_POLL_SECONDS)
    return found
