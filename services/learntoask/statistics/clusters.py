"""Sums by session, because the items of one session are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learntoask.statistics.bootstrap import Floats


def totals_by_cluster(values: Floats, clusters: Sequence[str]) -> Floats:
    """Return the sums of `values` [items, …] by cluster, [clusters, …], in the order of first occurrence.

    Raises ValueError if the lengths differ.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values have {len(clusters)} clusters")
    row_of = {cluster: row for row, cluster in enumerate(dict.fromkeys(clusters))}
    totals = np.zeros((len(row_of), *values.shape[1:]))
    np.add.at(totals, [row_of[cluster] for cluster in clusters], values)
    return totals
