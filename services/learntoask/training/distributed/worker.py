"""`python -m learntoask.training.distributed.worker REQUEST`: one worker of a training stage, started by `launch`.

The leader appends its progress to a file; a worker that fails leaves the reason in another, for the stage to tell.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
from pathlib import Path

from pydantic import BaseModel

from learntoask.core.errors import LearnToAskError
from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.parent_death import end_with_parent
from learntoask.core.stages.contract import StageContext

PROGRESS = "progress.jsonl"
SUMMARY = "summary.json"
FAILURE = "failure-{rank}.json"


class WorkerRequest(BaseModel):
    """A `StageContext` as JSON. `module` holds the stage's function; `told` is the folder of progress and failures."""

    module: str
    stage: str
    key: str
    spec: RunSpec
    pack: Pack
    inputs: dict[str, Path]
    files: dict[str, Path]
    out: Path
    work: Path
    told: Path


class FileProgress:
    """Progress as JSON lines, at most ten a second; of the workers only the leader tells."""

    def __init__(self, path: Path, *, tells: bool) -> None:
        self._path, self._tells, self._last = path, tells, 0.0

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        now = time.monotonic()
        if not self._tells or (now - self._last < 0.1 and done < total):
            return
        self._last = now
        line = {"done": done, "total": total, "message": message, **metrics}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def main(request_path: Path) -> int:
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
        progress=FileProgress(request.told / PROGRESS, tells=rank == 0),
    )
    try:
        summary = importlib.import_module(request.module).run(context)
    except LearnToAskError as error:
        failure = {"type": type(error).__name__, "reason": error.reason, "message": str(error)}
        (request.told / FAILURE.format(rank=rank)).write_text(json.dumps(failure))
        return error.exit_code
    if rank == 0:
        (request.told / SUMMARY).write_text(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
