"""The parent-death signal: a child process that does not outlive its parent (Linux only)."""

from __future__ import annotations

import ctypes
import signal
import sys


def end_with_parent() -> None:
    """Let Linux kill this process (SIGKILL) when its parent process ends, even if the parent was killed itself."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
