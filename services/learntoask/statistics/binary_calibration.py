"""How well the probabilities of an event agree with what happened: temperature, calibration error, and AUC.

Probabilities come as natural logs, because a policy that is sure of a question gives its stop 1e-20 and less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from learntoask.statistics.bootstrap import Floats

_BINS = 10
_SUREST = 1e-9  # distance from 1 of the greatest probability that is taken as measured
_TEMPERATURES = (0.05, 20.0)
_STEPS = 60  # of the golden section search; each narrows the interval by .62


class ReliabilityBin(NamedTuple):
    """The points whose probability lies in [low, high): their number, mean probability, and share of events."""

    low: float
    high: float
    n: int
    mean: float
    share: float


def log_odds(logprob: float) -> float:
    """Return the natural log of p / (1 - p) for a natural log of p."""
    bounded = min(logprob, -_SUREST)
    return bounded - math.log(-math.expm1(bounded))


def rescale(logprob: float, temperature: float) -> float:
    """Return the probability at `temperature`: that with log-odds divided by it."""
    odds = log_odds(logprob) / temperature
    return 0.0 if odds < -700 else 1 / (1 + math.exp(-odds))  # not a number stays that


def fit_temperature(logprobs: Sequence[float], happened: Sequence[bool]) -> float:
    """Return the temperature at which the probabilities predict the events best (least log loss).

    It is 1 where events of one kind alone were seen, because then every certainty is the better the greater it is.
    """
    if len(set(happened)) < 2:
        return 1.0
    odds = np.array([log_odds(logprob) for logprob in logprobs]) * np.where(happened, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -odds / math.exp(log_temperature)).sum())

    ratio = (math.sqrt(5) - 1) / 2
    low, high = map(math.log, _TEMPERATURES)
    for _ in range(_STEPS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2)


def reliability(probabilities: Sequence[float], happened: Sequence[bool]) -> list[ReliabilityBin]:
    """Return the points in ten bins of equal width, without the empty ones."""
    chances, events = np.array(probabilities), np.array(happened, dtype=float)
    places = np.minimum((chances * _BINS).astype(int), _BINS - 1)
    return [
        ReliabilityBin(
            low=place / _BINS,
            high=(place + 1) / _BINS,
            n=int((places == place).sum()),
            mean=float(chances[places == place].mean()),
            share=float(events[places == place].mean()),
        )
        for place in sorted(set(places.tolist()))
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Return the expected calibration error (ECE): the mean distance of probability and share over all points."""
    points = sum(found.n for found in bins)
    return sum(found.n * abs(found.mean - found.share) for found in bins) / points if points else None


def area_under_curve(logprobs: Sequence[float], happened: Sequence[bool]) -> float | None:
    """Return the chance that an event has a greater probability than a point without it; ties count half."""
    scores: Floats = np.array(logprobs, dtype=np.float64)
    events = np.array(happened, dtype=bool)
    yes, no = scores[events], np.sort(scores[~events])
    if not len(yes) or not len(no):
        return None
    below, upto = np.searchsorted(no, yes, side="left"), np.searchsorted(no, yes, side="right")
    return float((below + upto).sum() / (2 * len(yes) * len(no)))
