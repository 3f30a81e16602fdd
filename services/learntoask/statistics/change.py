"""Detect a change of a mean in a stream, with a bound on false alarms."""

from __future__ import annotations

import numpy as np

from learntoask.statistics.bootstrap import Floats
from learntoask.statistics.e_process import Side, bets_above, log_mean_exp, scaled_to_unit


def change_log_e(
    values: Floats,
    *,
    null: float,
    side: Side,
    bounds: tuple[float, float] = (0.0, 1.0),
    state: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Return the log of the e-detector after each value, [observations], and the state to go on from, [bets].

    The e-detector of Shin, Ramdas and Rinaldo (2024, Shiryaev–Roberts form): the sum over every possible time of
    change of an e-process that starts then, M_t = L_t (M_{t−1} + 1), averaged over bets. As long as the mean is at most
    `null` (`less`: at least), an alarm at 1/α comes after 1/α observations or more on average; it is not a test, since
    an alarm comes some day. `state` continues a former call with the same settings.
    """
    unit, mean = scaled_to_unit(values, null, bounds)
    if side == "less":
        unit, mean = 1 - unit, 1 - mean
    bets = bets_above(mean)
    level = np.full(len(bets), -np.inf) if state is None else state
    found = np.empty(len(values))
    for index, value in enumerate(unit):
        level = np.log1p((value - mean) * bets) + np.logaddexp(level, 0.0)
        found[index] = log_mean_exp(level)
    return found, level
