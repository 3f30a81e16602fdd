"""Processes of a throw-away cluster: started, found again by another command, and stopped only when they are ours."""

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
_KILL_SECONDS = 60.0  # of a busy machine that writes out what the process had in memory


@dataclass(frozen=True)
class Recorded:
    """A process, and the moment it started (clock ticks since boot), which no later process of its number shares."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return _start_of(self.pid) == self.started

    @property
    def peak_memory(self) -> int:
        """Bytes: the most that was resident at once so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

    @property
    def processor_seconds(self) -> float:
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def signal(self, number: int) -> None:
        """Only to the recorded process itself: its number may belong to another one by now."""
        if self.alive:
            os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not end it in time. Raises TimeoutError if nothing does."""
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
    """Start `command` with its output appended to `log`. Unless it may `outlive` this process, it ends with it."""
    tie = [] if outlive else ["setpriv", "--pdeathsig", "KILL", "--"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*tie, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process.returncode = 0  # whoever stops it waits for it by its number
    return Recorded(process.pid, _start_of(process.pid) or 0)


def _start_of(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    threads = int(fields[17])
    # A killed process whose first thread is gone keeps its ports until the last one is.
    return None if fields[0] == "Z" and threads == 1 else int(fields[19])


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # another command's child
        os.waitpid(pid, os.WNOHANG)
