"""PPI++: the mean of a label from few labels and a prediction for every item (Angelopoulos, Duchi and Zrnic 2023).

The labels decide where the estimate lies, and the predictions only how wide its interval is. However wrong they are,
the estimate is (asymptotically) unbiased, since what the predictions add is taken away again at the labelled items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learntoask.core.intervals import LEVEL
from learntoask.statistics.bootstrap import Floats
from learntoask.statistics.clusters import totals_by_cluster
from learntoask.statistics.inclusion import inverse_weights
from learntoask.statistics.student import student_quantile

_PSEUDO_ITEMS = 0.5  # at each of the four corners


@dataclass(frozen=True, kw_only=True)
class PredictionPoweredMean:
    """A mean with its standard error, which is NaN if fewer than two sessions are labelled.

    `power` is λ of the paper, the weight of the predictions: 0 if they are of no use. `plain` and `plain_error` are the
    mean and error of the labels alone. `labels` and `items` are the numbers of labelled and of all items, `sessions`
    that of sessions with a label.
    """

    value: float
    standard_error: float
    power: float
    plain: float
    plain_error: float
    labels: int
    items: int
    sessions: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the two-sided interval at `level`, with Student's t for the number of labelled sessions."""
        half = student_quantile((1 + level) / 2, self.sessions - 1) * self.standard_error
        return self.value - half, self.value + half

    @property
    def worth(self) -> float:
        """How many times as many labels alone give an interval of the same width."""
        return (self.plain_error / self.standard_error) ** 2 if self.standard_error > 0 else math.inf


def ppi_mean(
    labels: Floats,
    predictions: Floats,
    *,
    inclusion: Floats | None = None,
    sessions: Sequence[str] | None = None,
    bounds: tuple[float, float] | None = None,
    power: float | None = None,
) -> PredictionPoweredMean:
    """Estimate the mean label of the population that all items are drawn from.

    `labels` and `predictions` are of shape [items]; a label is NaN where nobody labelled the item. `inclusion` is the
    probability π with which each item was chosen to be labelled (equal if None); labelled items count 1/π, normalised
    (Hájek). `sessions` are the clusters (every item its own if None). Without `power` λ is the one with the smallest
    estimated variance, limited to 0…1; for equal π and no clusters it is N/n-scaled λ of the paper's equation 6.

    `bounds` are the least and largest label. If given, half an item is added at each corner (label, prediction) of the
    square of bounds, as Agresti and Min (2005) do for paired shares. Otherwise a sample in which no label differs from
    its prediction would have an error near 0. Raises ValueError for bad shapes or no label.
    """
    known = ~np.isnan(labels)
    items = len(labels)
    if len(predictions) != items or not known.any():
        raise ValueError("PPI needs at least one label and a prediction for every item")
    names = [str(index) for index in range(items)] if sessions is None else list(sessions)
    weights = np.ones(items) if inclusion is None else inverse_weights(inclusion)
    drawn = np.where(known, weights, 0.0)
    y = np.where(known, labels, 0.0)
    f = predictions.astype(np.float64)
    everyone = np.ones(items)
    if bounds is not None:
        typical = _PSEUDO_ITEMS * float(drawn[known].mean())
        names += [f"\ncorner {corner}" for corner in range(4)]
        y = np.concatenate([y, np.repeat(bounds, 2)])
        f = np.concatenate([f, np.tile(bounds, 2)])
        drawn = np.concatenate([drawn, np.full(4, typical)])
        everyone = np.concatenate([everyone, np.zeros(4)])
    label_mean, drawn_mean = (float((drawn * values).sum() / drawn.sum()) for values in (y, f))
    mean = float(predictions.mean())
    # Contributions of sessions to the errors of the mean label and of what the predictions add to it.
    of_label = totals_by_cluster(drawn * (y - label_mean) / drawn.sum(), names)
    of_gain = totals_by_cluster(everyone * (f - mean) / items - drawn * (f - drawn_mean) / drawn.sum(), names)
    labelled = int((totals_by_cluster(drawn, names) > 0).sum())
    if power is None:
        spread = float((of_gain**2).sum())
        power = min(1.0, max(0.0, -float((of_label * of_gain).sum()) / spread)) if spread > 0 else 0.0
    # The variance of a total counts labelled sessions: the others add little to it, and none to `of_label`.
    scale = labelled / (labelled - 1) if labelled > 1 else np.nan
    return PredictionPoweredMean(
        value=label_mean + power * (mean - drawn_mean),
        standard_error=math.sqrt(scale * float(((of_label + power * of_gain) ** 2).sum())),
        power=power,
        plain=label_mean,
        plain_error=math.sqrt(scale * float((of_label**2).sum())),
        labels=int(known.sum()),
        items=items,
        sessions=labelled,
    )
