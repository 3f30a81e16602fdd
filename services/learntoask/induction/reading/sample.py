"""Draw a sample of a log file in one pass, with a bound on memory.

A line is kept by the digest of its text, so the same logs give the same sample, in any order and on any machine.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.manifest import Dataset
from learntoask.labeling.logs.lines import LogLine, read_lines

MOST_SESSIONS = 3_000  # more sessions cost time and hardly change a pack
MOST_BYTES = 256 * 1024 * 1024  # of all lines in the sample


@dataclass(frozen=True)
class LogSample:
    """Lines of a log file in their order, and the number of lines that are not blank in the whole file."""

    lines: tuple[LogLine, ...]
    total: int


def sample_lines(path: Path, *, at_most: int = MOST_SESSIONS) -> LogSample:
    """Return at most `at_most` lines of the file. Raises InputError when the file cannot be read."""
    kept: list[tuple[bytes, int, LogLine]] = []  # a heap whose first entry has the largest digest
    total = size = 0
    for line in read_lines(path, max_bytes=Dataset(uri=path.name).max_line_bytes):
        if not line.text or line.text.isspace():
            continue
        total += 1
        heapq.heappush(kept, (_descending(line.text), -line.number, line))
        size += len(line.text)
        while len(kept) > at_most or (size > MOST_BYTES and len(kept) > 1):
            size -= len(heapq.heappop(kept)[2].text)
    lines = sorted((line for *_, line in kept), key=lambda line: line.number)
    return LogSample(tuple(lines), total)


def _descending(text: bytes) -> bytes:
    """Return a digest whose complement orders the lines, because a heap gives its smallest entry first."""
    return bytes(255 - byte for byte in hashlib.blake2b(text, digest_size=8).digest())
