"""The facts about all sessions that the split and the summary need at once, about thirty bytes per session.

The sessions themselves are never held in memory: the stage prepare spools them to a file until the split is known, and
their MinHash signatures are in a second file (`duplicates.SignatureFile`).
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learntoask.core.records import EndReason, Session

ENDS = tuple(EndReason)


def _array(code: str) -> array[int]:
    return array(code)


@dataclass
class SessionIndex:
    """One entry per well-formed session, in the order of reading. Each attribute is a column."""

    id_high: array[int] = field(default_factory=lambda: _array("Q"))
    id_low: array[int] = field(default_factory=lambda: _array("Q"))
    lines: array[int] = field(default_factory=lambda: _array("Q"))  # line numbers, from 1
    from_test: array[int] = field(default_factory=lambda: _array("B"))  # 1: read from `testUri`
    turns: array[int] = field(default_factory=lambda: _array("I"))
    ends: array[int] = field(default_factory=lambda: _array("B"))  # index into ENDS
    stops: array[int] = field(
        default_factory=lambda: _array("B")
    )  # end markers of the expert in the log, at most 255
    stopped: array[int] = field(default_factory=lambda: _array("B"))  # 1: the session has a stop turn

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, session: Session, *, line: int, from_test: bool, acts: int) -> None:
        high, low = id_digest(session.session_id)
        self.id_high.append(high)
        self.id_low.append(low)
        self.lines.append(line)
        self.from_test.append(from_test)
        self.turns.append(len(session.turns))
        self.ends.append(ENDS.index(session.end))
        self.stops.append(min(acts, 255))
        self.stopped.append(session.stop_turn is not None)

    def first_occurrences(self) -> NDArray[np.int64]:
        """Return for each session the index of the first session with the same id, [n]."""
        return first_indices(
            np.asarray(self.id_high, dtype=np.uint64), np.asarray(self.id_low, dtype=np.uint64)
        )


def first_indices(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each 128-bit id digest, given as its halves [n] and [n], the index of its first occurrence, [n]."""
    order = np.lexsort((low, high))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]] if len(order) else order
    return first


def id_digest(session_id: str) -> tuple[int, int]:
    """Return the high and the low half of a 128-bit digest of a session id."""
    digest = hashlib.blake2b(session_id.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
