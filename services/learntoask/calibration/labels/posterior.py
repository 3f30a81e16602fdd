"""How probable it is that an expert turn asks for a field, from all judges and the answers of people.

The model is that of Dawid and Skene (1979) with two classes: each judge finds a field that is asked for with its own
sensitivity, and leaves out one that is not with its own specificity. Judges count as independent, which they are not
entirely, because the graders are fitted on labels. So a probability only ranks doubts; what becomes of them is decided
by people's answers (`purge`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Votes = NDArray[np.int8]  # [pairs, judges]: 1 asked, 0 not asked, -1 no finding

_ROUNDS = 50
_CONVERGED = 1e-6
# Priors as counts of right and wrong findings: a judge is mostly right before anything is known about it.
_SENSITIVITY = (8.0, 2.0)
_SPECIFICITY = (19.0, 1.0)
_MOST_CERTAIN = 0.999


@dataclass(frozen=True)
class JudgeRates:
    """The rates of the judges, [judges], and the share of pairs that are asked for."""

    sensitivity: Floats
    specificity: Floats
    prevalence: float


def dawid_skene(votes: Votes, known: Floats) -> tuple[Floats, JudgeRates]:
    """Return the probability of each pair, [pairs], and the rates of the judges.

    `known` is 1 or 0 for pairs that people have answered, NaN for the others; known pairs keep their value.
    """
    says, silent = votes == 1, votes == 0
    heard = np.maximum(says.sum(axis=1) + silent.sum(axis=1), 1)
    is_known = ~np.isnan(known)
    chance = np.where(is_known, np.nan_to_num(known), says.sum(axis=1) / heard)
    rates = _rates(chance, says, silent)
    for _ in range(_ROUNDS):
        logit = np.log(rates.prevalence / (1 - rates.prevalence)) + (
            says @ np.log(rates.sensitivity / (1 - rates.specificity))
            + silent @ np.log((1 - rates.sensitivity) / rates.specificity)
        )
        new = np.where(is_known, np.nan_to_num(known), 1 / (1 + np.exp(-np.clip(logit, -30, 30))))
        new = np.where(is_known, new, np.clip(new, 1 - _MOST_CERTAIN, _MOST_CERTAIN))
        moved = float(np.abs(new - chance).max(initial=0.0))
        chance, rates = new, _rates(new, says, silent)
        if moved < _CONVERGED:
            break
    return chance, rates


def _rates(chance: Floats, says: NDArray[np.bool_], silent: NDArray[np.bool_]) -> JudgeRates:
    asked, idle = chance[:, None], 1 - chance[:, None]
    hit, missed = (asked * says).sum(axis=0), (asked * silent).sum(axis=0)
    right, false = (idle * silent).sum(axis=0), (idle * says).sum(axis=0)
    return JudgeRates(
        sensitivity=(hit + _SENSITIVITY[0]) / (hit + missed + sum(_SENSITIVITY)),
        specificity=(right + _SPECIFICITY[0]) / (right + false + sum(_SPECIFICITY)),
        prevalence=float((chance.sum() + 1) / (len(chance) + 2)),
    )
