"""Near-duplicate sessions, found without comparing all pairs and without holding any session.

A session's text becomes a MinHash signature (Broder 1997) of its 8-byte pieces: the share of equal entries of two
signatures estimates the Jaccard similarity of their pieces (standard error √(s(1-s)/32), .07 at s = .8). Bytes rather
than words, so that languages written without spaces work too. Signatures go to a file, 128 bytes a session; banding
(4 rows in each of 8 bands) proposes pairs, and a pair counts when its estimate reaches the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 32
BANDS = 8
ROWS = PERMUTATIONS // BANDS
PIECE = 8  # bytes
NEIGHBOURS = 4  # how many earlier members of a band's bucket a session is compared with, beside the first

_CHUNK = 8192
_RANDOM = np.random.default_rng(20251023)
_FACTORS = (_RANDOM.integers(0, 2**31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1))[:, None]
_SHIFTS = _RANDOM.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)[:, None]
_MIX = np.uint64(0x9E3779B97F4A7C15)  # golden-ratio multiplier: the high half mixes all 8 bytes

Signature = NDArray[np.uint32]


def signature(texts: Iterable[str]) -> Signature:
    """Signature [PERMUTATIONS] of a session's messages; case and runs of white space do not count."""
    words = " ".join(texts).lower().split()
    data = " ".join(words).encode().ljust(PIECE)
    pieces = np.ndarray(shape=(len(data) - PIECE + 1,), dtype="<u8", buffer=data, strides=(1,))
    smallest = np.full(PERMUTATIONS, np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(pieces), _CHUNK):
        mixed = pieces[start : start + _CHUNK] * _MIX
        hashes = ((mixed ^ (mixed >> np.uint64(29))) * _MIX >> np.uint64(32)).astype(np.uint32)
        np.minimum(smallest, (hashes * _FACTORS + _SHIFTS).min(axis=1), out=smallest)
    return smallest


def append_signature(file: BinaryIO, values: Signature) -> None:
    file.write(values.tobytes())


def open_signatures(path: Path, count: int) -> NDArray[np.uint32]:
    """The signatures [count, PERMUTATIONS] that were appended to `path`, mapped rather than read."""
    if not count:
        return np.empty((0, PERMUTATIONS), dtype=np.uint32)
    return np.memmap(path, dtype=np.uint32, mode="r", shape=(count, PERMUTATIONS))


def clusters(signatures: NDArray[np.uint32], *, threshold: float) -> NDArray[np.int32]:
    """For each session the smallest index of its cluster [n]: near-duplicates, and theirs, share it."""
    parents = np.arange(len(signatures), dtype=np.int32)
    for band in range(BANDS):
        for left, right in _candidates(signatures, band):
            equal = (signatures[left] == signatures[right]).sum(axis=1)
            near = equal >= threshold * PERMUTATIONS
            for one, other in zip(left[near].tolist(), right[near].tolist(), strict=True):
                _union(parents, one, other)
    while not np.array_equal(parents, flat := parents[parents]):
        parents = flat
    return parents


def _candidates(
    signatures: NDArray[np.uint32], band: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of sessions that fall into one bucket of the band, a chunk at a time."""
    rows = np.ascontiguousarray(signatures[:, band * ROWS : (band + 1) * ROWS])
    keys = _digest(rows)
    # Equal sessions sort next to each other within a bucket, so that they are always compared.
    order = np.lexsort((_digest(signatures), keys))
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else keys
    for start in range(0, len(order), _CHUNK):
        here = np.arange(start, min(start + _CHUNK, len(order)))
        first = starts[np.searchsorted(starts, here, side="right") - 1]
        for earlier in (first, *(here - distance for distance in range(1, NEIGHBOURS + 1))):
            pairs = (earlier < here) & (earlier >= first)
            if pairs.any():
                yield order[earlier[pairs]], order[here[pairs]]


def _digest(rows: NDArray[np.uint32]) -> NDArray[np.uint64]:
    digest = np.zeros(len(rows), dtype=np.uint64)
    for column in range(rows.shape[1]):
        digest = (digest ^ rows[:, column]) * _MIX
        digest ^= digest >> np.uint64(31)
    return digest


def _union(parents: NDArray[np.int32], one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    if one != other:
        parents[max(one, other)] = min(one, other)


def _root(parents: NDArray[np.int32], index: int) -> int:
    while (parent := int(parents[index])) != index:
        parents[index] = parents[parent]
        index = parent
    return index
