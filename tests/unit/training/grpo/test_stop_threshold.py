"""The probability from which a policy stops, by what early stops and needless questions cost."""

from __future__ import annotations

import math

import pytest
from learntoask.core.manifest import Train
from learntoask.policy.stopping import Stopping, threshold_of
from learntoask.training.grpo.stop_threshold import (
    StopPoint,
    choose_threshold,
    early_stops,
    needless_questions,
    stopping_of,
    total,
)


def point(probability: float, *, stop: bool = False, asked: float | None = 4.0) -> StopPoint:
    return StopPoint(math.log(probability), stop, 0.0 if stop else asked)


# Stops at .15, .32 and .9; questions at .05, .22, .25 and .28.
POINTS = [
    *(point(probability, stop=True) for probability in (0.15, 0.32, 0.9)),
    *(point(probability) for probability in (0.05, 0.22, 0.25, 0.28)),
]


def choose(points: list[StopPoint] = POINTS, *, loss: float = 0.0, cost: float | None = None) -> float:
    return choose_threshold(points, max_stop_loss=loss, early_stop_cost=cost)


def test_errors_of_both_kinds_are_counted() -> None:
    assert (early_stops(POINTS, 0.2), needless_questions(POINTS, 0.2)) == (3, 1)
    assert (early_stops(POINTS, 0.3), needless_questions(POINTS, 0.3)) == (0, 1)
    assert total(POINTS, 0.3) == pytest.approx((2 * 4 + 4 * 4) / 7)


def test_the_greatest_total_is_chosen_without_losing_stops() -> None:
    assert choose() == 0.3
    cheap = [point(0.32, stop=True), *(point(p, asked=3.0) for p in (0.4, 0.45))]
    assert choose(cheap) == 0.2  # 0.5 has a greater Total, but loses the stop that 0.2 keeps
    assert choose(cheap, loss=1.0) == 0.5


def test_equally_good_thresholds_stay_near_the_default() -> None:
    assert choose([point(0.9, stop=True), point(0.01)]) == 0.2
    assert choose([]) == 0.2


def test_a_stated_cost_decides_instead() -> None:
    assert choose(cost=0.1) <= 0.15  # needless questions are dear
    assert choose(cost=10) == 0.3
    assert choose([point(0.6), point(0.5, stop=True)], cost=10) >= 0.65  # a lost stop is cheap


def test_points_whose_question_has_no_grade_leave_the_total() -> None:
    assert total([point(0.1, asked=None), point(0.1, asked=2.0)], 0.2) == 2.0


def test_the_choice_says_what_it_rests_on() -> None:
    stopping = stopping_of(Train(stop_threshold="auto", early_stop_cost=10), POINTS, sessions=3)
    assert (stopping.threshold, stopping.sessions, stopping.points, stopping.stops) == (0.3, 3, 7, 3)
    assert stopping.temperature > 0


def test_the_manifest_gives_a_number_or_takes_what_was_chosen() -> None:
    chosen = Stopping(threshold=0.4, temperature=2.0, sessions=1, points=1, stops=1)
    assert threshold_of(0.3, chosen) == 0.3
    assert threshold_of("auto", chosen) == 0.4
    assert threshold_of("auto", None) == 0.2
