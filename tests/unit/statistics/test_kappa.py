"""κ against published values, and its bounds by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from learntoask.statistics.inclusion import Design
from learntoask.statistics.kappa import (
    bootstrap_interval,
    kappa,
    kappa_estimate,
    required_items,
)
from learntoask.statistics.paired import kappa_difference

FLEISS_1969 = np.array([[0.53, 0.05, 0.02], [0.11, 0.14, 0.05], [0.01, 0.06, 0.03]]) * 200
"""The example of Fleiss, Cohen and Everitt (1969): two judges put 200 patients into three categories."""


def one_item_each(table: np.ndarray) -> np.ndarray:
    """Sessions of one item each with this total, [sessions, k, k]."""
    k = len(table)
    cells = np.repeat(np.arange(k * k), np.rint(table).astype(int).ravel())
    return np.eye(k * k)[cells].reshape(-1, k, k)


def binary(value: float, *, prevalence: float, items: int, reviews: int, seed: int) -> np.ndarray:
    """Reviews [reviews, items, 2, 2] in which κ is `value` and both judges say yes equally often."""
    wrong = (1 - value) * prevalence * (1 - prevalence)
    cells = [prevalence - wrong, wrong, wrong, 1 - prevalence - wrong]
    drawn = np.random.default_rng(seed).multinomial(1, cells, size=(reviews, items))
    return drawn.reshape(reviews, items, 2, 2).astype(np.float64)


def test_kappa_of_perfect_chance_and_opposite_judgements() -> None:
    tables = np.array([[[5, 0], [0, 5]], [[5, 5], [5, 5]], [[0, 5], [5, 0]], [[7, 0], [0, 0]]])
    assert kappa(tables) == pytest.approx([1.0, 0.0, -1.0, 1.0])


def test_kappa_and_its_error_equal_the_published_example() -> None:
    found = kappa_estimate(one_item_each(FLEISS_1969))
    assert found.value == pytest.approx(0.429, abs=5e-4)
    # The paper prints a variance of .002885, i.e. a standard error of .0537, for 200 patients.
    assert found.standard_error == pytest.approx(math.sqrt(0.002885), rel=0.01)


def test_weights_count_as_repeated_items() -> None:
    tables = one_item_each(np.array([[20, 5], [10, 15]]))
    weighted = tables * np.linspace(0.5, 1.5, len(tables))[:, None, None]
    assert kappa_estimate(tables).value == pytest.approx(0.4)
    assert kappa_estimate(weighted).value == pytest.approx(float(kappa(weighted.sum(axis=0))))
    assert kappa_estimate(weighted * 7).value == pytest.approx(kappa_estimate(weighted).value)


def test_items_of_one_session_count_as_one_observation() -> None:
    alone = one_item_each(np.array([[40, 10], [10, 40]]))
    order = np.argsort([table.argmax() for table in alone], kind="stable")
    grouped = alone[order].reshape(10, 10, 2, 2).sum(axis=1)
    assert kappa_estimate(grouped).standard_error > 1.8 * kappa_estimate(alone).standard_error


def drawn_within_strata(
    random: np.random.Generator, *, conversations: int, each: int
) -> tuple[np.ndarray, Design]:
    """Items from two strata of a log: in the small one the judge is wrong half the time, in the other hardly ever."""
    hard = int(random.binomial(conversations, 0.2))
    tables, strata, inclusion = [], [], []
    for name, size, wrong in (("hard", hard, 0.5), ("easy", conversations - hard, 0.02)):
        cells = random.choice(4, size=each, p=[0.5 - wrong / 2, wrong / 2, wrong / 2, 0.5 - wrong / 2])
        weight = size / each
        tables += list(np.eye(4)[cells].reshape(-1, 2, 2) * weight)
        strata += [name] * each
        inclusion += [1 / weight] * each
    scaled = np.array(tables) * len(tables) / conversations
    return scaled, Design(tuple(map(str, range(len(tables)))), tuple(strata), np.array(inclusion))


def test_the_error_of_items_drawn_within_strata_is_what_repeated_logs_and_draws_show() -> None:
    random = np.random.default_rng(3)
    reviews = [drawn_within_strata(random, conversations=400, each=40) for _ in range(600)]
    found = [kappa_estimate(tables, design) for tables, design in reviews]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.1)
    # Counted as one simple draw, the items would seem to say much less than they do.
    simple = np.mean([kappa_estimate(tables).standard_error for tables, _ in reviews])
    assert simple > 1.1 * spread


def test_the_lower_bound_of_items_drawn_within_strata_is_seldom_too_high() -> None:
    random = np.random.default_rng(4)
    truth = 1 - 2 * (0.2 * 0.5 + 0.8 * 0.02)
    reviews = [drawn_within_strata(random, conversations=400, each=30) for _ in range(1000)]
    above = np.mean([kappa_estimate(*review).lower_bound(0.95) > truth for review in reviews])
    assert above <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_a_stratum_with_one_item_does_not_make_the_error_smaller() -> None:
    tables = one_item_each(np.array([[20, 5], [5, 20]]))
    names = tuple(map(str, range(50)))
    whole = kappa_estimate(tables, Design(names, ("a",) * 50, np.ones(50)))
    apart = kappa_estimate(tables, Design(names, (*("a",) * 49, "b"), np.ones(50)))
    assert whole.standard_error == pytest.approx(kappa_estimate(tables).standard_error)
    assert apart.standard_error == pytest.approx(whole.standard_error, rel=0.05)


def test_a_difference_within_strata_does_not_move_with_how_many_each_holds() -> None:
    # Every item of one stratum is mended, and none of the other: there is nothing left to chance.
    wrong, right = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])
    easy = one_item_each(np.array([[15, 0], [0, 15]]))
    before = np.concatenate([np.tile(wrong, (10, 1, 1)), easy])
    after = np.concatenate([np.tile(right, (10, 1, 1)), easy])
    strata = ["hard"] * 10 + ["easy"] * 30
    free, bound = (
        kappa_difference(before, after, strata=names, resamples=2000, seed=1) for names in (None, strata)
    )
    assert free.value == bound.value
    assert np.std(bound.draws) < 0.5 * np.std(free.draws)


def test_the_design_page_s_half_widths_hold() -> None:
    # Half widths of the 95 % interval at prevalence .5 and κ = .8 with 100, 200 and 400 items.
    for items, half in ((100, 0.12), (200, 0.08), (400, 0.06)):
        wrong = 0.05 * items
        right = 0.45 * items
        found = kappa_estimate(one_item_each(np.array([[right, wrong], [wrong, right]])))
        assert 1.96 * found.standard_error == pytest.approx(half, abs=0.006)


@pytest.mark.parametrize(
    ("value", "prevalence", "items"), [(0.6, 0.5, 120), (0.6, 0.2, 120), (0.8, 0.5, 120), (0.6, 0.1, 300)]
)
def test_the_lower_bound_is_too_high_as_seldom_as_it_says(
    value: float, prevalence: float, items: int
) -> None:
    reviews = binary(value, prevalence=prevalence, items=items, reviews=2000, seed=5)
    above = np.mean([kappa_estimate(tables).lower_bound(0.95) > value for tables in reviews])
    assert above <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert above >= 0.02  # nor is it idle


def test_intervals_cover_by_both_methods() -> None:
    reviews = binary(0.7, prevalence=0.4, items=150, reviews=400, seed=9)
    by_delta = by_bootstrap = 0
    for tables in reviews:
        low, high = kappa_estimate(tables).interval()
        by_delta += low <= 0.7 <= high
        low, high = bootstrap_interval(tables, resamples=300, seed=1)
        by_bootstrap += low <= 0.7 <= high
    assert by_delta / 400 == pytest.approx(0.95, abs=0.033)
    assert by_bootstrap / 400 == pytest.approx(0.94, abs=0.04)


def test_no_disagreement_is_no_proof_of_perfection() -> None:
    few = kappa_estimate(one_item_each(np.array([[3, 0], [0, 3]])))
    many = kappa_estimate(one_item_each(np.array([[60, 0], [0, 60]])))
    assert few.value == many.value == 1.0
    assert few.lower_bound(0.95) < 0.6
    assert 0.94 < many.lower_bound(0.95) < 1.0


def test_one_session_bounds_nothing() -> None:
    found = kappa_estimate(np.array([[[5.0, 1.0], [1.0, 5.0]]]))
    assert (found.lower_bound(0.95), found.upper_bound(0.95)) == (-1.0, 1.0)


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        kappa_estimate(np.zeros((3, 2, 2)))


def test_as_many_items_as_are_asked_for_pass_with_the_stated_power() -> None:
    wrong = 0.075 * 100
    pilot = kappa_estimate(one_item_each(np.array([[42, 8], [7, 43]])))
    more = required_items(pilot, items=100, bound=0.6, confidence=0.95, power=0.8)
    assert more is not None
    assert wrong < more
    reviews = binary(pilot.smoothed, prevalence=0.5, items=100 + more, reviews=1000, seed=2)
    passed = np.mean([kappa_estimate(tables).lower_bound(0.95) > 0.6 for tables in reviews])
    assert passed == pytest.approx(0.8, abs=0.05)


def test_nothing_is_asked_for_where_the_bound_holds_or_cannot_hold() -> None:
    good = kappa_estimate(one_item_each(np.array([[60, 2], [2, 60]])))
    bad = kappa_estimate(one_item_each(np.array([[40, 20], [20, 40]])))
    assert required_items(good, items=124, bound=0.6, confidence=0.95) == 0
    assert required_items(bad, items=120, bound=0.6, confidence=0.95) is None
