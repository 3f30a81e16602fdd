"""Temperature, calibration error and area under the curve of probabilities against what happened."""

from __future__ import annotations

import math
import random

import pytest
from learntoask.statistics.binary_calibration import (
    area_under_curve,
    calibration_error,
    fit_temperature,
    log_odds,
    reliability,
    rescale,
)


def sampled(temperature: float, *, points: int = 20_000) -> tuple[list[float], list[bool]]:
    """Return log-probabilities that are over-confident by `temperature`, and events drawn from the true ones."""
    chance = random.Random(1)
    true = [chance.uniform(0.02, 0.98) for _ in range(points)]
    happened = [chance.random() < probability for probability in true]
    return [math.log(rescale(math.log(probability), 1 / temperature)) for probability in true], happened


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    assert fit_temperature(*sampled(temperature)) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_makes_the_probabilities_agree_with_the_shares() -> None:
    logprobs, happened = sampled(3.0)
    before = calibration_error(reliability([math.exp(logprob) for logprob in logprobs], happened))
    fitted = fit_temperature(logprobs, happened)
    after = calibration_error(reliability([rescale(logprob, fitted) for logprob in logprobs], happened))
    assert before is not None
    assert after is not None
    assert before > 0.1
    assert after < 0.02


def test_events_of_one_kind_fit_no_temperature() -> None:
    assert fit_temperature([-0.1, -2.0], [True, True]) == 1.0


def test_bins_hold_every_point_once() -> None:
    bins = reliability([0.0, 0.05, 0.55, 1.0], [False, True, True, True])
    assert [(found.low, found.n, found.share) for found in bins] == [
        (0.0, 2, 0.5),
        (0.5, 1, 1.0),
        (0.9, 1, 1.0),
    ]
    assert calibration_error(bins) == pytest.approx((2 * (0.5 - 0.025) + 0.45 + 0.0) / 4)
    assert calibration_error([]) is None


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    assert area_under_curve([-1.0, -2.0, -3.0, -2.0], [True, True, False, False]) == (1 + 1 + 1 + 0.5) / 4
    assert area_under_curve([-1.0], [True]) is None


@pytest.mark.parametrize("logprob", [-1e-12, 0.0, 1e-7, -0.5, -30.0, -2000.0, -math.inf])
def test_every_log_probability_has_log_odds(logprob: float) -> None:
    assert rescale(logprob, 1.0) == pytest.approx(min(math.exp(logprob), 1.0), abs=1e-8)
    assert log_odds(logprob) < 30


def test_what_is_no_number_stays_none() -> None:
    assert math.isnan(rescale(math.nan, 1.0))
