"""The main function of a stage's process.

It reports to the file descriptor that its parent passed, as JSON lines: `{"progress": …}` while it works, and finally
one `{"result": …}` or `{"failure": …}`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from learntoask.core.errors import LearnToAskError
from learntoask.core.process.parent_death import end_with_parent
from learntoask.progress.throttled import ThrottledProgress
from learntoask.rpc.tracing import tracing
from learntoask.runner.attempt import run_attempt
from learntoask.runner.extras import missing_extra
from learntoask.runner.request import StageRequest
from learntoask.runner.stage_trace import SERVICE, computing


class MessagePipe:
    """The pipe to the parent process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, **message: Any) -> None:
        try:
            os.write(self._descriptor, (json.dumps(message) + "\n").encode())
        except BrokenPipeError:
            os._exit(1)  # the parent was killed

    def fail(self, reason: str, message: str, *, retryable: bool) -> None:
        self.send(failure={"reason": reason, "message": message, "retryable": retryable})


def main(request_path: Path, descriptor: int) -> int:
    """Run the attempt described in the file `request_path` and return the exit code (see core.errors)."""
    end_with_parent()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    pipe = MessagePipe(descriptor)
    progress = ThrottledProgress(lambda report: pipe.send(progress=report))
    try:
        request = StageRequest.model_validate_json(request_path.read_bytes())
        with tracing(SERVICE), computing(request.stage):
            publication = run_attempt(request, progress)
    except LearnToAskError as error:
        return _report(error, pipe)
    except Exception as error:
        traceback.print_exc()
        missing = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
        if missing is not None:
            return _report(missing, pipe)
        pipe.fail("InternalError", f"{type(error).__name__}: {error}", retryable=True)
        return 1
    pipe.send(result={"output": publication.output, "summary": publication.summary} if publication else {})
    return 0


def _report(error: LearnToAskError, pipe: MessagePipe) -> int:
    pipe.fail(error.reason, str(error), retryable=error.retryable)
    return error.exit_code
