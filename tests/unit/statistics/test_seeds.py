"""Differences over sessions and seeds."""

from __future__ import annotations

import numpy as np
import pytest
from learntoask.statistics.bootstrap import Metrics
from learntoask.statistics.seeds import seed_differences, seed_mean

SHARE = Metrics(
    values=lambda sums: {"share": np.divide(sums[..., 0], sums[..., 1])},
    denominators=lambda sums: {"share": sums[..., 1]},
    shares=frozenset({"share"}),
)


def _runs(draw, *, seeds, sessions, gain, of_seeds, of_sessions):
    """Return sums of hits and turns of two policies for each seed, whose true difference is `gain`."""
    shared = draw.normal(0, of_sessions, sessions)
    before, after = [], []
    for _ in range(seeds):
        shift = draw.normal(0, of_seeds)
        own = draw.normal(0, 0.1, (2, sessions))
        turns = np.full(sessions, 5.0)
        before.append(np.stack([5 * (0.5 + own[0]), turns], axis=1))
        after.append(np.stack([5 * (0.5 + gain + shift + shared + own[1]), turns], axis=1))
    return before, after


@pytest.mark.parametrize(("of_seeds", "of_sessions"), [(0.03, 0.05), (0.0, 0.3), (0.05, 0.0)])
def test_the_interval_holds_the_true_difference_in_at_least_95_of_100_cases(of_seeds, of_sessions):
    draw = np.random.default_rng(3)
    held = 0
    for number in range(400):
        runs = _runs(draw, seeds=3, sessions=40, gain=0.05, of_seeds=of_seeds, of_sessions=of_sessions)
        found = seed_differences(*runs, SHARE, resamples=200, seed=number)["share"]
        held += found.low <= 0.05 <= found.high
    assert held >= 0.93 * 400


def test_seeds_that_differ_widen_the_interval_and_more_seeds_narrow_it():
    draw = np.random.default_rng(5)
    alike, apart, many = (
        seed_differences(
            *_runs(draw, seeds=seeds, sessions=60, gain=0.1, of_seeds=of_seeds, of_sessions=0.05),
            SHARE,
            resamples=500,
            seed=0,
        )["share"]
        for seeds, of_seeds in ((3, 0.0), (3, 0.2), (12, 0.2))
    )
    assert apart.high - apart.low > 2 * (alike.high - alike.low)
    assert many.high - many.low < apart.high - apart.low
    assert alike.significant
    assert (alike.seeds, alike.sessions) == (3, 60)
    assert alike.low < alike.one_sided_low < alike.value


def test_one_run_has_no_interval_over_seeds():
    draw = np.random.default_rng(1)
    runs = _runs(draw, seeds=1, sessions=10, gain=0.1, of_seeds=0, of_sessions=0)
    found = seed_differences(*runs, SHARE, resamples=50, seed=0)["share"]
    assert (found.low, found.spread, found.significant) == (None, None, False)
    assert seed_mean([0.5]).spread is None
    assert seed_mean([0.4, 0.6]).spread == pytest.approx(0.1414, abs=1e-4)


def test_a_metric_that_a_run_leaves_undefined_is_left_out():
    nothing = np.zeros((4, 2))
    with np.errstate(invalid="ignore"):
        assert seed_differences([nothing] * 2, [nothing] * 2, SHARE, resamples=20, seed=0) == {}


def test_equal_runs_differ_by_nothing():
    same = [np.array([[1.0, 2.0], [2.0, 2.0]])] * 3
    found = seed_differences(same, same, SHARE, resamples=50, seed=0)["share"]
    assert (found.low, found.value, found.high) == (0, 0, 0)
    assert not found.significant
