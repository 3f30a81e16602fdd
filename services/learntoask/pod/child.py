"""The stage's process inside a pod: start it, hear its progress, and copy its output to the container's log."""

from __future__ import annotations

import os
import selectors
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from learntoask.core.json_object import Json
from learntoask.runner.child import StageChild, crash
from learntoask.runner.request import StageRequest

_TAIL_BYTES = 2000  # kept of what a crashed stage printed last
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL when the pod has to end


def run_child(
    request: StageRequest,
    *,
    variables: Mapping[str, str],
    at: Path,
    on_progress: Callable[[Json], None],
) -> tuple[Json, int]:
    """Run the attempt to its end and return its last message, `{"result": …}` or `{"failure": …}`, and its exit code.

    The exit code is 128 + the signal that killed the process. The process never outlives this call. The request is
    written to the file `at`.
    """
    reader, writer = os.pipe()
    output = _OutputCopy(reader)
    try:
        child = StageChild.start(request, at=at, output=writer, environment={**os.environ, **variables})
    finally:
        os.close(writer)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(child, selectors.EVENT_READ)
            while (reports := _next_reports(selector, child)) is not None:
                for progress in reports:
                    on_progress(progress)
    except BaseException:
        child.end(grace=_GRACE)
        raise
    code = child.wait()
    return child.final or crash(code, tail=output.tail()), code if code >= 0 else 128 - code


def _next_reports(selector: selectors.BaseSelector, child: StageChild) -> list[Json] | None:
    """Wait for progress of the child; None once it has closed its end of the pipe."""
    selector.select()
    return child.read_progress()


class _OutputCopy:
    """Copies what is written to a pipe to standard error, and keeps the end of it."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._tail = b""
        self._thread = threading.Thread(target=self._copy, name="output", daemon=True)
        self._thread.start()

    def tail(self) -> str:
        """The last bytes that were written, once the pipe is closed. Waits at most a second, because processes that
        the stage left behind may keep the pipe open."""
        self._thread.join(1.0)
        return self._tail.decode("utf-8", errors="replace").strip()

    def _copy(self) -> None:
        with os.fdopen(self._reader, "rb", 0) as pipe:
            while chunk := pipe.read(65536):
                sys.stderr.buffer.write(chunk)
                sys.stderr.buffer.flush()
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
