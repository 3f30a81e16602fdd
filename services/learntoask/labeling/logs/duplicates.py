"""Near-duplicate sessions, found without comparing all pairs and without holding any session.

A session's text becomes a MinHash signature (Broder 1997) of its 8-byte pieces: the share of equal entries of two
signatures estimates the Jaccard similarity of their pieces (standard error √(s(1-s)/32), .07 at s = .8). Bytes rather
than words, so that languages written without spaces work too. Signatures go to a file, 128 bytes a session; banding
(4 rows in each of 8 bands) proposes pairs, and a pair counts when its estimate reaches the threshold.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learntoask.labeling.logs.lines import write_error

PERMUTATIONS = 32
BANDS = 8
ROWS = PERMUTATIONS // BANDS
PIECE = 8  # bytes
NEIGHBOURS = 4  # how many earlier members of a band's bucket a session is compared with, beside the first

_CHUNK = 8192
_ROW_BYTES = PERMUTATIONS * 4
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


class SignatureFile:
    """Signatures on disk, one row a session in the order of writing; they are read a chunk at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("w+b")
        except OSError as error:
            raise write_error(path, error) from error
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> SignatureFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def append(self, values: Signature) -> None:
        try:
            self._file.write(values.tobytes())
        except OSError as error:
            raise write_error(self._path, error) from error
        self._count += 1

    def chunks(self) -> Iterator[NDArray[np.uint32]]:
        """All rows, [at most _CHUNK, PERMUTATIONS] at a time."""
        self._file.seek(0)
        while data := self._file.read(_CHUNK * _ROW_BYTES):
            yield np.frombuffer(data, dtype=np.uint32).reshape(-1, PERMUTATIONS)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The rows [len(indices), PERMUTATIONS] of some sessions."""
        wanted, inverse = np.unique(indices, return_inverse=True)
        self._file.flush()
        number = self._file.fileno()
        data = b"".join(os.pread(number, _ROW_BYTES, index * _ROW_BYTES) for index in wanted.tolist())
        return np.frombuffer(data, dtype=np.uint32).reshape(-1, PERMUTATIONS)[inverse]


def clusters(signatures: SignatureFile, *, threshold: float) -> NDArray[np.int32]:
    """For each session the smallest index of its cluster [n]: near-duplicates, and theirs, share it."""
    parents = np.arange(len(signatures), dtype=np.int32)
    for band in range(BANDS):
        for left, right in _candidates(signatures, band, parents):
            equal = (signatures.rows(left) == signatures.rows(right)).sum(axis=1)
            near = equal >= threshold * PERMUTATIONS
            for one, other in zip(left[near].tolist(), right[near].tolist(), strict=True):
                _union(parents, one, other)
        parents = _flat(parents)
    return parents


Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def _candidates(signatures: SignatureFile, band: int, parents: NDArray[np.int32]) -> Iterator[Pairs]:
    """Pairs of sessions that fall into one bucket of the band and not yet into one cluster, a chunk at a time."""
    columns = slice(band * ROWS, (band + 1) * ROWS)
    keys = np.empty(len(signatures), dtype=np.uint64)
    whole = np.empty(len(signatures), dtype=np.uint64)
    start = 0
    for rows in signatures.chunks():
        keys[start : start + len(rows)] = _digest(rows[:, columns])
        whole[start : start + len(rows)] = _digest(rows)
        start += len(rows)
    # Equal sessions sort next to each other within a bucket, so that they are always compared.
    order = np.lexsort((whole, keys))
    keys = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = keys[1:] != keys[:-1]
    starts = np.flatnonzero(new)
    for start in range(0, len(order), _CHUNK):
        here = np.arange(start, min(start + _CHUNK, len(order)))
        first = starts[np.searchsorted(starts, here, side="right") - 1]
        for earlier in (first, *(here - distance for distance in range(1, NEIGHBOURS + 1))):
            inside = (earlier < here) & (earlier >= first)
            left, right = order[earlier[inside]], order[here[inside]]
            apart = parents[left] != parents[right]
            if apart.any():
                yield left[apart], right[apart]


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


def _flat(parents: NDArray[np.int32]) -> NDArray[np.int32]:
    while not np.array_equal(parents, above := parents[parents]):
        parents = above
    return parents
