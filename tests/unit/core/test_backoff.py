"""Exponential back-off: doubling, its cap, and its jitter."""

from __future__ import annotations

from learntoask.core.backoff import Backoff

BACKOFF = Backoff(first=0.5, longest=3.0)


def test_delays_double_up_to_the_longest_one() -> None:
    assert [BACKOFF.delay(failures) for failures in (1, 2, 3, 4, 5, 10_000)] == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]


def test_jitter_takes_at_most_half_of_a_delay() -> None:
    assert BACKOFF.delay(2, draw=0.0) == 0.5
    assert BACKOFF.delay(2, draw=0.5) == 0.75
