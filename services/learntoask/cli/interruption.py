"""The message after Ctrl-C or SIGTERM in a command that continues where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def continuable(console: Console, command: str) -> Iterator[None]:
    """Where Ctrl-C (KeyboardInterrupt) or SIGTERM (SystemExit) ends the block, print that `command` continues it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        console.print(
            "Stopped. Nothing is lost: finished stages and checkpoints are kept. To go on, run this again:"
        )
        console.print(f"  {command}", style="bold", markup=False)
        raise
