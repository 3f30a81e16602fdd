"""One worker of a training stage, started by `launch` as `python -m learntoask.training.distributed.worker REQUEST`.

The leader appends its progress to a file, which the stage forwards. A worker that fails writes its error to another
file, which the stage raises.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from pathlib import Path

from pydantic import BaseModel

from learntoask.core.errors import LearnToAskError
from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.process.parent_death import end_with_parent
from learntoask.core.stages.contract import StageContext
from learntoask.progress.throttled import ThrottledProgress

PROGRESS = "progress.jsonl"
SUMMARY = "summary.json"
FAILURE = "failure-{rank}.json"


class WorkerRequest(BaseModel):
    """A `StageContext` as JSON. `module` has the stage's `run`; `messages` is the folder of progress and errors."""

    module: str
    stage: str
    key: str
    spec: RunSpec
    pack: Pack
    inputs: dict[str, Path]
    files: dict[str, Path]
    out: Path
    work: Path
    messages: Path


def main(request_path: Path) -> int:
    """Run the stage that the request names and return the exit code."""
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    request = WorkerRequest.model_validate_json(request_path.read_bytes())
    rank = int(os.environ["RANK"])
    context = StageContext(
        stage=request.stage,
        key=request.key,
        spec=request.spec,
        pack=request.pack,
        inputs=request.inputs,
        files=request.files,
        out=request.out,
        work=request.work,
        progress=_progress(request.messages / PROGRESS, leads=rank == 0),
    )
    try:
        summary = importlib.import_module(request.module).run(context)
    except LearnToAskError as error:
        failure = {"type": type(error).__name__, "reason": error.reason, "message": str(error)}
        (request.messages / FAILURE.format(rank=rank)).write_text(json.dumps(failure))
        return error.exit_code
    if rank == 0:
        (request.messages / SUMMARY).write_text(json.dumps(summary))
    return 0


def _progress(path: Path, *, leads: bool) -> ThrottledProgress:
    """The leader's progress as JSON lines in the file `path`; that of other workers is dropped."""

    def append(report: Json) -> None:
        if leads:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(report) + "\n")

    return ThrottledProgress(append)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
