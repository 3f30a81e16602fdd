"""How a process ended, as a phrase for messages."""

from __future__ import annotations

import signal


def describe_exit(code: int) -> str:
    """Return a phrase such as `was killed by SIGKILL (often: out of memory)` or `ended with exit code 3`.

    `code` is negative for a signal, as `subprocess` reports it, or 128 + the signal, as shells and containers do.
    """
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with exit code {code}"
    return f"was killed by {name}" + (" (often: out of memory)" if number == signal.SIGKILL else "")
