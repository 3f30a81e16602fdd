"""Tell conversations that share a greeting, a signature or a menu from copies of one conversation.

Near-duplicates are found by shared bytes, so long text that many sessions share makes different conversations look
alike. It shows as a large cluster. In every large cluster, the text that at least half of its sessions share is left
out, and the sessions are compared by what is left. That repeats until no cluster falls apart any more. Where hardly
anything is left, the sessions are copies and stay together. Small clusters are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learntoask.labeling.logs.duplicates import (
    SHINGLE,
    SignatureFile,
    clusters,
    minhash,
    shingles,
    text_bytes,
)

LARGE = 10  # sessions; a larger cluster is compared again
SHARED_BY = 0.5  # share of a cluster's sessions
STRETCH = 24  # shingles in a row; what is shared in shorter stretches is the wording of ordinary questions
LEAST_REST = 40  # shingles; two or three changed words are no other conversation
SHOWN = 120  # bytes of shared text that name a cluster
_ROUNDS = 6
_SLOTS = 1 << 23  # counters of shingles; a cluster's sessions fill a small share of them
_SHIFT = np.uint64(64 - 23)
_MIX = np.uint64(0x9E3779B97F4A7C15)

Texts = Callable[[NDArray[np.bool_]], Iterable[tuple[int, Sequence[str]]]]
"""Reads the messages of the sessions that a mask [n] selects, each with its index."""


@dataclass
class Grouping:
    """The cluster of each session [n], and by cluster the longest text that a large one shares."""

    groups: NDArray[np.int32]
    shared: dict[int, str] = field(default_factory=dict)


def without_shared_text(
    groups: NDArray[np.int32], texts: Texts, *, threshold: float, signatures: Path
) -> Grouping:
    """Return the clusters that remain when shared text does not count.

    `groups` are the clusters by whole text, as `clusters` returns them. The file `signatures` is written and deleted.
    """
    grouping = Grouping(groups)
    for _ in range(_ROUNDS):
        _, inverse, sizes = np.unique(grouping.groups, return_inverse=True, return_counts=True)
        size_of = sizes[inverse]
        if not (size_of > LARGE).any():
            break
        before = grouping.groups
        grouping = _compared_again(before, size_of, texts, threshold=threshold, signatures=signatures)
        if np.array_equal(before, grouping.groups):
            break
    return grouping


def _compared_again(
    groups: NDArray[np.int32], size_of: NDArray[np.int64], texts: Texts, *, threshold: float, signatures: Path
) -> Grouping:
    members = size_of > LARGE
    counts = np.zeros(_SLOTS, dtype=np.uint32)
    for index, messages in texts(members):
        counts[np.unique(_slots(shingles(text_bytes(messages)), int(groups[index])))] += 1
    grouping, order = Grouping(groups.copy()), []
    with SignatureFile(signatures) as file:
        for index, messages in texts(members):
            data = text_bytes(messages)
            hashes = shingles(data)
            group = int(groups[index])
            starts, ends = _stretches(counts[_slots(hashes, group)] >= SHARED_BY * size_of[index])
            grouping.shared.setdefault(group, _longest(data, starts, ends))
            rest = hashes[_outside(len(hashes), starts, ends)]
            file.append(minhash(rest if len(rest) >= LEAST_REST else hashes))
            order.append(index)
        inner = clusters(file, threshold=threshold)
    first: dict[tuple[int, int], int] = {}
    for index, alike in zip(order, inner.tolist(), strict=True):
        grouping.groups[index] = first.setdefault((int(groups[index]), alike), index)
    return grouping


def _slots(hashes: NDArray[np.uint32], group: int) -> NDArray[np.int64]:
    keyed = hashes.astype(np.uint64) ^ (np.uint64(group) << np.uint64(32))
    return ((keyed * _MIX) >> _SHIFT).astype(np.int64)


def _stretches(common: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return starts and ends of the stretches of at least STRETCH shared shingles in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], common, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= STRETCH
    return starts[long], ends[long]


def _outside(length: int, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    steps = np.zeros(length + 1, dtype=np.int64)
    steps[starts] += 1
    steps[ends] -= 1
    return np.cumsum(steps)[:length] == 0


def _longest(data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> str:
    if not len(starts):
        return ""
    longest = int(np.argmax(ends - starts))
    text = data[int(starts[longest]) : int(ends[longest]) + SHINGLE - 1].decode("utf-8", "ignore").strip()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
