"""Cluster near-duplicate sessions without comparing all pairs and without holding any session in memory.

A session is represented by the MinHash signature (Broder 1997) of the 8-byte shingles of its text. The share of equal
entries of two signatures estimates the Jaccard similarity s of the two sets of shingles, with a standard error of
√(s(1-s)/32), which is .07 at s = .8. Shingles of bytes, unlike words, also work for languages without spaces.

Signatures are kept in a file, 128 bytes per session. Locality-sensitive hashing (8 bands of 4 rows) proposes pairs of
sessions; two sessions are near-duplicates when their estimated similarity reaches the threshold.
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
SHINGLE = 8  # bytes
NEIGHBOURS = 4  # a session is compared with the first member of its bucket and with this many before it

_CHUNK = 8192
_ROW_BYTES = PERMUTATIONS * 4
_RANDOM = np.random.default_rng(20251023)
_FACTORS = (_RANDOM.integers(0, 2**31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1))[:, None]
_SHIFTS = _RANDOM.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)[:, None]
_MIX = np.uint64(0x9E3779B97F4A7C15)  # golden-ratio multiplier; all 8 bytes affect the high half of a product

Signature = NDArray[np.uint32]


def signature(texts: Iterable[str]) -> Signature:
    """Return the signature [PERMUTATIONS] of a session's messages. Case and runs of white space have no effect."""
    return minhash(shingles(text_bytes(texts)))


def text_bytes(texts: Iterable[str]) -> bytes:
    """Return the text of a session that is compared: messages in lower case, with single spaces, in UTF-8."""
    words = " ".join(texts).lower().split()
    return " ".join(words).encode().ljust(SHINGLE)


def shingles(data: bytes) -> NDArray[np.uint32]:
    """Return the hashes of all shingles of a text, in their order: [len(data) - SHINGLE + 1]."""
    views = np.ndarray(shape=(len(data) - SHINGLE + 1,), dtype="<u8", buffer=data, strides=(1,))
    hashes = np.empty(len(views), dtype=np.uint32)
    for start in range(0, len(views), _CHUNK):
        mixed = views[start : start + _CHUNK] * _MIX
        hashes[start : start + _CHUNK] = (mixed ^ (mixed >> np.uint64(29))) * _MIX >> np.uint64(32)
    return hashes


def minhash(hashes: NDArray[np.uint32]) -> Signature:
    """Return the signature of a set of at least one shingle."""
    smallest = np.full(PERMUTATIONS, np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(hashes), _CHUNK):
        permuted = hashes[start : start + _CHUNK] * _FACTORS + _SHIFTS
        np.minimum(smallest, permuted.min(axis=1), out=smallest)
    return smallest


class SignatureFile:
    """A file of signatures, one row per session in the order of writing. It is deleted on exit."""

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
        """Yield all rows, at most _CHUNK of them at a time: [rows, PERMUTATIONS]."""
        self._file.seek(0)
        while data := self._file.read(_CHUNK * _ROW_BYTES):
            yield np.frombuffer(data, dtype=np.uint32).reshape(-1, PERMUTATIONS)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return the rows of the sessions `indices`, [len(indices), PERMUTATIONS]."""
        wanted, inverse = np.unique(indices, return_inverse=True)
        self._file.flush()
        number = self._file.fileno()
        data = b"".join(os.pread(number, _ROW_BYTES, index * _ROW_BYTES) for index in wanted.tolist())
        return np.frombuffer(data, dtype=np.uint32).reshape(-1, PERMUTATIONS)[inverse]


def clusters(signatures: SignatureFile, *, threshold: float) -> NDArray[np.int32]:
    """Return for each session the smallest index in its cluster, [n].

    Clusters are the connected components of the near-duplicate relation: `threshold` is the least similarity.
    """
    parents = np.arange(len(signatures), dtype=np.int32)
    for band in range(BANDS):
        for left, right in _candidates(signatures, band, parents):
            equal = (signatures.rows(left) == signatures.rows(right)).sum(axis=1)
            near = equal >= threshold * PERMUTATIONS
            for first, second in zip(left[near].tolist(), right[near].tolist(), strict=True):
                _union(parents, first, second)
        parents = _flatten(parents)
    return parents


Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def _candidates(signatures: SignatureFile, band: int, parents: NDArray[np.int32]) -> Iterator[Pairs]:
    """Yield pairs of sessions that are in the same bucket of the band but not yet in the same cluster, in chunks."""
    columns = slice(band * ROWS, (band + 1) * ROWS)
    keys = np.empty(len(signatures), dtype=np.uint64)
    whole = np.empty(len(signatures), dtype=np.uint64)
    start = 0
    for rows in signatures.chunks():
        keys[start : start + len(rows)] = _digest(rows[:, columns])
        whole[start : start + len(rows)] = _digest(rows)
        start += len(rows)
    # Within a bucket, sessions with equal signatures are sorted next to each other, so they are always compared.
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
    """Hash each row [n, k] to 64 bits, [n]."""
    digest = np.zeros(len(rows), dtype=np.uint64)
    for column in range(rows.shape[1]):
        digest = (digest ^ rows[:, column]) * _MIX
        digest ^= digest >> np.uint64(31)
    return digest


def _union(parents: NDArray[np.int32], first: int, second: int) -> None:
    first, second = _root(parents, first), _root(parents, second)
    if first != second:
        parents[max(first, second)] = min(first, second)


def _root(parents: NDArray[np.int32], index: int) -> int:
    while (parent := int(parents[index])) != index:
        parents[index] = parents[parent]
        index = parent
    return index


def _flatten(parents: NDArray[np.int32]) -> NDArray[np.int32]:
    """Make every session point at the root of its cluster directly."""
    while not np.array_equal(parents, above := parents[parents]):
        parents = above
    return parents
