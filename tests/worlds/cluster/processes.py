"""Processes of a throw-away cluster: start them, find them again from another command, and stop them safely."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 15.0
_KILL_SECONDS = 60.0  # a busy machine first writes out what the process had in memory


@dataclass(frozen=True)
class Recorded:
    """A process and its start time (clock ticks since boot), which no later process of the same number shares."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return _start_of(self.pid) == self.started

    @property
    def peak_memory(self) -> int:
        """The highest resident memory so far, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

    @property
    def processor_seconds(self) -> float:
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended and its number may belong to another one."""
        if self.alive:
            os.kill(self.pid, number)

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if it does not end in time. Raises TimeoutError if it still runs."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if not self._ended(_STOP_SECONDS):
            self.kill()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if not self._ended(_KILL_SECONDS):
            raise TimeoutError(f"process {self.pid} does not end")

    def _ended(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not self.alive:
                _reap(self.pid)
                return True
            time.sleep(0.02)
        return False


def start(command: list[str], *, log: Path, outlive: bool) -> Recorded:
    """Start `command` with its output appended to `log`. Unless `outlive` is set, it ends with this process."""
    tie = [] if outlive else ["setpriv", "--pdeathsig", "KILL", "--"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*tie, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process.returncode = 0  # `Recorded` waits for it by its number
    return Recorded(process.pid, _start_of(process.pid) or 0)


def _start_of(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    threads = int(fields[17])
    # A killed process keeps its ports until its last thread is gone.
    return None if fields[0] == "Z" and threads == 1 else int(fields[19])


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # the child of another command
        os.waitpid(pid, os.WNOHANG)
