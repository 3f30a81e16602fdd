"""Differences of two judges on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learntoask.statistics.bootstrap import Floats, resampled_sums
from learntoask.statistics.kappa import kappa


@dataclass(frozen=True, kw_only=True)
class KappaDifference:
    """κ after − κ before on the same items, with its draws by bootstrap, [resamples], sorted."""

    value: float
    draws: Floats

    def lower_bound(self, confidence: float) -> float:
        """Return the one-sided lower percentile bound at `confidence`."""
        return float(np.quantile(self.draws, 1 - confidence, method="lower"))


def kappa_difference(
    before: Floats, after: Floats, *, strata: Sequence[str] | None = None, resamples: int, seed: int
) -> KappaDifference:
    """Return the difference of two judges' κ with the same people, resampling whole sessions (Efron 1979).

    Both arrays are tables [rows, k, k] in the same order; a row are the items of one session in one of the `strata`,
    within which rows are resampled (all in one if None). Raises ValueError if the shapes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"tables of shape {before.shape} and {after.shape} are not paired")
    names = np.array(strata if strata is not None else [""] * len(before))
    both = np.concatenate([before.reshape(len(before), -1), after.reshape(len(after), -1)], axis=1)
    sums = np.zeros((resamples, both.shape[1]))
    for number, name in enumerate(dict.fromkeys(names.tolist())):
        sums += resampled_sums(both[names == name], resamples=resamples, seed=seed + number)
    drawn = kappa(sums.reshape(resamples, 2, *before.shape[1:]))
    return KappaDifference(
        value=float(kappa(after.sum(axis=0)) - kappa(before.sum(axis=0))),
        draws=np.sort(drawn[:, 1] - drawn[:, 0]),
    )
