"""Measures how long the parts of the end-to-end test take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Phases:
    taken: list[tuple[str, float]] = field(default_factory=list)
    """Name and duration in seconds, in the order in which the phases ended."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        print(f"\n{time.strftime('%H:%M:%S')} {name} …", flush=True)
        try:
            yield
        finally:
            self.taken.append((name, time.monotonic() - began))
            print(f"{time.strftime('%H:%M:%S')} {name}: {self.taken[-1][1]:.1f} s", flush=True)
