"""Which sessions train, which validate, which test: by cluster of near-duplicates, seeded, exact in size."""

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
    """Side of each session [n].

    `clusters` [n] names each session's cluster, `ids` [n] are digests of the session ids. Clusters are ordered by a
    seeded digest of their smallest id, so that the order of lines does not matter and a log that grows moves few
    sessions. They fill the test side up to its share, then the validation side; a cluster that would overfill a side
    is passed on, so that a mass of duplicates ends in training. A side with a share above 0 gets at least one session
    where there are enough clusters.
    """
    names, inverse, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    smallest = np.full(len(names), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, inverse, ids)
    order = np.argsort(_shuffled(smallest, seed), kind="stable")
    chosen = np.zeros(len(names), dtype=np.uint8)
    for side, share, kept in (
        (TEST, test_share, 2 if validation_share else 1),
        (VALIDATION, validation_share, 1),
    ):
        waiting = order[chosen[order] == TRAIN]
        spare = len(waiting) - kept  # clusters that this side may take and leave one to each that follows
        free = max(round(share * len(clusters)), 1) if share else 0
        if free and spare > 0 and sizes[waiting].min() > free:
            chosen[waiting[np.argmin(sizes[waiting])]] = side  # rather a side too large than an empty one
            continue
        for cluster in waiting:
            if not free or spare <= 0:
                break
            if sizes[cluster] <= free:
                chosen[cluster] = side
                free -= int(sizes[cluster])
                spare -= 1
    return chosen[inverse]


def _shuffled(values: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A digest of each value under the seed (SplitMix64's finaliser)."""
    key = np.uint64(int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "little"))
    mixed = values ^ key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
