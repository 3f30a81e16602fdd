"""Systematic and nested samples."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from learntoask.calibration.draw.sampling import nested, systematic


def test_units_are_drawn_with_the_probability_that_is_said():
    units = list(range(20))
    sizes = [1.0] * 10 + [3.0] * 10
    drawn = [0] * 20
    said = {}
    for seed in range(4000):
        for unit, chance in systematic(units, 8, random.Random(seed), sizes=sizes):
            drawn[unit] += 1
            said[unit] = chance
    for unit in units:
        assert drawn[unit] / 4000 == pytest.approx(said[unit], abs=0.03)
    assert sum(said.values()) == pytest.approx(8)


def test_a_large_unit_is_certain_and_the_others_share_the_rest():
    found = dict(systematic(["a", "b", "c"], 2, random.Random(1), sizes=[100, 1, 1]))
    assert found["a"] == 1
    assert len(found) == 2
    assert all(chance == 0.5 for unit, chance in found.items() if unit != "a")


def test_neighbours_in_the_order_are_represented_evenly():
    found = [unit for unit, _ in systematic(list(range(100)), 10, random.Random(3))]
    assert all(second - first == 10 for first, second in pairwise(found))


def test_asking_for_more_than_there_is_gives_everything():
    assert systematic(["a", "b"], 5, random.Random(0)) == [("a", 1.0), ("b", 1.0)]
    assert systematic([], 5, random.Random(0)) == []


def test_a_larger_nested_sample_begins_with_the_smaller_one():
    units, sizes = list(range(50)), [1.0 + unit % 5 for unit in range(50)]
    samples = [nested(units, count, random.Random(7), sizes=sizes) for count in range(51)]
    for smaller, larger in pairwise(samples):
        assert [unit for unit, _ in larger][:-1] == [unit for unit, _ in smaller]
    assert sorted(unit for unit, _ in samples[-1]) == units


def test_nested_samples_hold_large_units_more_often_and_neighbours_evenly():
    drawn = [0] * 20
    for seed in range(2000):
        for unit, _ in nested(list(range(20)), 4, random.Random(seed), sizes=[1.0] * 10 + [3.0] * 10):
            drawn[unit] += 1
    for unit, times in enumerate(drawn):
        assert times / 2000 == pytest.approx(0.1 if unit < 10 else 0.3, abs=0.04)
    found = sorted(unit for unit, _ in nested(list(range(100)), 10, random.Random(3)))
    assert all(4 <= second - first <= 13 for first, second in pairwise(found))


def test_a_unit_without_a_size_comes_last():
    found = [unit for unit, _ in nested(["a", "b", "c"], 3, random.Random(2), sizes=[0, 1, 1])]
    assert found[-1] == "a"
