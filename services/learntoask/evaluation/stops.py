"""Compute how well a policy knows when to stop: its stop probability, and its stops by turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learntoask.evaluation.decisions import DecisionRecord
from learntoask.evaluation.report_schema import CalibratedStop, StopBin, StopProbability, StopsOfTurn
from learntoask.evaluation.summary import session_order
from learntoask.statistics.binary_calibration import (
    area_under_curve,
    calibration_error,
    reliability,
    rescale,
)
from learntoask.statistics.bootstrap import mean_estimates


def stop_probability(
    decisions: Sequence[DecisionRecord], *, temperature: float | None, resamples: int, seed: int
) -> StopProbability | None:
    """Compute mean stop probability per class and its calibration; None if it was not measured.

    `temperature` is the one by which the server calibrates the probability, None if it does not.
    """
    known = [(decision, decision.stop_logprob) for decision in decisions if decision.stop_logprob is not None]
    if not known:
        return None
    place = {session: index for index, session in enumerate(session_order(decisions))}
    by_class = {truth: (np.zeros(len(place)), np.zeros(len(place))) for truth in ("continue", "stop")}
    for decision, logprob in known:
        above, below = by_class[decision.truth]
        above[place[decision.session]] += np.exp(logprob)
        below[place[decision.session]] += 1
    means = mean_estimates(dict(by_class), resamples=resamples, seed=seed)
    logprobs = [logprob for _, logprob in known]
    stops = [decision.truth == "stop" for decision, _ in known]
    bins, error = _calibration([float(np.exp(logprob)) for logprob in logprobs], stops)
    calibrated = None
    if temperature is not None:
        after = _calibration([rescale(logprob, temperature) for logprob in logprobs], stops)
        calibrated = CalibratedStop(temperature=temperature, bins=after[0], calibration_error=after[1])
    return StopProbability(
        mean_at_continue=means["continue"],
        mean_at_stop=means["stop"],
        bins=bins,
        calibration_error=error,
        area_under_curve=area_under_curve(logprobs, stops),
        calibrated=calibrated,
    )


def stops_by_turn(decisions: Sequence[DecisionRecord]) -> list[StopsOfTurn]:
    """Count where experts and policy stop, by the number of the expert's turn (0 is the first)."""
    found = []
    for turn in sorted({decision.turn for decision in decisions}):
        here = [decision for decision in decisions if decision.turn == turn]
        goes_on = [decision for decision in here if decision.truth == "continue"]
        acts = [decision for decision in here if decision.truth == "stop"]
        found.append(
            StopsOfTurn(
                turn=turn,
                continues=len(goes_on),
                wrong_stops=sum(decision.decision == "stop" for decision in goes_on),
                expert_stops=len(acts),
                right_stops=sum(decision.decision == "stop" for decision in acts),
            )
        )
    return found


def _calibration(probabilities: Sequence[float], stops: Sequence[bool]) -> tuple[list[StopBin], float | None]:
    bins = reliability(probabilities, stops)
    shown = [
        StopBin(low=found.low, high=found.high, n=found.n, mean=found.mean, stop_share=found.share)
        for found in bins
    ]
    return shown, calibration_error(bins)
