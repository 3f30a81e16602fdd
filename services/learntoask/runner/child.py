"""A stage's process, seen from the one that started it: heard through a pipe, ended when told to.

The laptop's executor and a pod both run a stage this way, so that whatever becomes of the stage's process (no memory
left, a fault of a native library) there is somebody to say so.
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

from learntoask.core.process_exit import describe_exit
from learntoask.runner.process import StageRequest

_GRACE = 10.0  # seconds between asking a stage to end and ending it


class StageChild:
    """One attempt under way. `final` holds its last word (`{"result": …}` or `{"failure": …}`) once it was heard."""

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
        """Start the attempt; the request is written to `at`, and what it prints goes to `output`.

        Call it from the main thread: Linux ends the stage together with the thread that started it.
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
        """For selectors: readable when there is something to hear."""
        return self._pipe.fileno()

    def heard(self) -> list[dict[str, Any]] | None:
        """Progress that was told since the last call; None when the stage has closed its end."""
        data = self._pipe.read(65536)
        if not data:
            return [] if data is None else None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        told = [json.loads(line) for line in lines]
        for one in told:
            if "progress" not in one:
                self.final = one
        return [one["progress"] for one in told if "progress" in one]

    def wait(self) -> int:
        """How the process ended, as `subprocess` says it; to be called once its end of the pipe is closed."""
        code = self._process.wait()
        self._pipe.close()
        return code

    def end(self, *, grace: float = _GRACE) -> None:
        """Ask it to end, and end it after `grace` seconds. Its checkpoints are whole whenever that happens."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.wait()


def crash(code: int, *, tail: str, log: str = "") -> dict[str, Any]:
    """The failure of a process that ended without a word; `tail` is what it printed last."""
    message = (
        f"the process {describe_exit(code)}."
        + (f" Log: {log}" if log else "")
        + (f"\n{tail}" if tail else "")
    )
    return {"failure": {"reason": "Crashed", "message": message, "retryable": True}}
