"""The process of a stage as its parent sees it: the parent reads its progress from a pipe, and can end it.

Both the executor of this machine and a pod run a stage in a child process, so that the parent can report how it ended
even when it was killed or a native library crashed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

from learntoask.core.process.exit import describe_exit
from learntoask.runner.request import StageRequest

_GRACE = 10.0  # seconds between asking a stage to end and ending it


class StageChild:
    """A running attempt. `final` is its last message (`{"result": …}` or `{"failure": …}`), empty before it arrives."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self.final: dict[str, Any] = {}
        self._process = process
        self._pipe = pipe
        self._buffer = b""

    @classmethod
    def start(
        cls,
        request: StageRequest,
        *,
        at: Path,
        output: int | IO[bytes],
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start the attempt. Write the request to the file `at`, and send the process's output to `output`.

        Call it from the main thread, because Linux ends the process together with the thread that started it.
        """
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(request.model_dump_json(by_alias=True))
        reader, writer = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "learntoask.cli.stage", str(at), str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writer,),
                start_new_session=True,
                env=environment,
            )
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        return cls(process, os.fdopen(reader, "rb", 0))

    def fileno(self) -> int:
        """The pipe's descriptor, for selectors; readable when a message has arrived."""
        return self._pipe.fileno()

    def read_progress(self) -> list[dict[str, Any]] | None:
        """Return the progress that arrived since the last call; None when the process has closed the pipe."""
        data = self._pipe.read(65536)
        if not data:
            return [] if data is None else None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        messages = [json.loads(line) for line in lines]
        for message in messages:
            if "progress" not in message:
                self.final = message
        return [message["progress"] for message in messages if "progress" in message]

    def wait(self) -> int:
        """Return the exit code, as `subprocess` has it. Call it once the process has closed the pipe."""
        code = self._process.wait()
        self._pipe.close()
        return code

    def end(self, *, grace: float = _GRACE) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds. Its checkpoints are complete whenever that happens."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.wait()


def crash(code: int, *, tail: str, log: str = "") -> dict[str, Any]:
    """Return the failure of a process that ended without a last message; `tail` is the end of its output."""
    message = (
        f"the process {describe_exit(code)}."
        + (f" Log: {log}" if log else "")
        + (f"\n{tail}" if tail else "")
    )
    return {"failure": {"reason": "Crashed", "message": message, "retryable": True}}
