"""The stage's process inside a pod: started, listened to, and its output passed on to the container's log."""

from __future__ import annotations

import os
import selectors
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from learntoask.runner.child import StageChild, crash
from learntoask.runner.process import StageRequest

_TAIL_BYTES = 2000  # of what a crashed stage printed last
_GRACE = 5.0  # seconds for a stage to end by itself when the pod is told to


def run_child(
    request: StageRequest,
    *,
    variables: Mapping[str, str],
    at: Path,
    on_progress: Callable[[dict[str, Any]], None],
) -> tuple[dict[str, Any], int]:
    """Run the attempt to its end; returns its last word, `{"result": …}` or `{"failure": …}`, and its exit code (128
    and the number of the signal that killed it).

    The process does not outlive this call, whatever ends it.
    """
    reader, writer = os.pipe()
    tail = _Passing(reader)
    try:
        child = StageChild.start(request, at=at, output=writer, environment={**os.environ, **variables})
    finally:
        os.close(writer)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(child, selectors.EVENT_READ)
            while (told := _listened(selector, child)) is not None:
                for progress in told:
                    on_progress(progress)
    except BaseException:
        child.end(grace=_GRACE)
        raise
    code = child.wait()
    return child.final or crash(code, tail=tail.last()), code if code >= 0 else 128 - code


def _listened(selector: selectors.BaseSelector, child: StageChild) -> list[dict[str, Any]] | None:
    selector.select()
    return child.heard()


class _Passing:
    """Passes on what is written to a pipe, and keeps the end of it."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._tail = b""
        self._thread = threading.Thread(target=self._pass_on, name="output", daemon=True)
        self._thread.start()

    def last(self) -> str:
        """The last words; processes that the stage left behind are not waited for."""
        self._thread.join(1.0)
        return self._tail.decode("utf-8", errors="replace").strip()

    def _pass_on(self) -> None:
        with os.fdopen(self._reader, "rb", 0) as pipe:
            while chunk := pipe.read(65536):
                sys.stderr.buffer.write(chunk)
                sys.stderr.buffer.flush()
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
