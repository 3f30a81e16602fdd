"""Assign sessions to train, validation and test by clusters of near-duplicates, seeded and to the exact sizes."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLITS = ("train", "validation", "test")


def split_sessions(
    clusters: NDArray[np.int32],
    ids: NDArray[np.uint64],
    *,
    validation_share: float,
    test_share: float,
    seed: int,
) -> NDArray[np.uint8]:
    """Return the split of each session, [n]: an index into SPLITS.

    `clusters` [n] are the sessions' cluster numbers, `ids` [n] are digests of the session ids. All sessions of a
    cluster get the same split. Clusters are ordered by a seeded digest of their smallest id, so the order of lines does
    not matter, and few sessions change their split when a log grows. Clusters fill the test split up to its share, then
    the validation split; the rest trains. A cluster that is too large for what is left of a split is skipped there, so
    a mass of duplicates ends in training. A split with a share above 0 gets at least one session if there are enough
    clusters.
    """
    distinct, inverse, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    smallest = np.full(len(distinct), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, inverse, ids)
    order = np.argsort(_seeded_digests(smallest, seed), kind="stable")
    chosen = np.zeros(len(distinct), dtype=np.uint8)
    for split, share, kept in (
        (TEST, test_share, 2 if validation_share else 1),
        (VALIDATION, validation_share, 1),
    ):
        waiting = order[chosen[order] == TRAIN]
        spare = len(waiting) - kept  # clusters that this split may take so that each later one can get one
        free = max(round(share * len(clusters)), 1) if share else 0
        if free and spare > 0 and sizes[waiting].min() > free:
            chosen[waiting[np.argmin(sizes[waiting])]] = (
                split  # a split that is too large is better than an empty one
            )
            continue
        for cluster in waiting:
            if not free or spare <= 0:
                break
            if sizes[cluster] <= free:
                chosen[cluster] = split
                free -= int(sizes[cluster])
                spare -= 1
    return chosen[inverse]


def _seeded_digests(values: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return a digest of each value under the seed (the finaliser of SplitMix64)."""
    key = np.uint64(int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "little"))
    mixed = values ^ key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
