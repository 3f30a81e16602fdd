"""The number of concurrent requests, and the delay before a retry."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.llm.concurrency import ConcurrencyLimit, RequestSlots, retry_delay


def after_rounds(
    limit: ConcurrencyLimit, *, capacity: int | None = None, failing: float = 0.0, rounds: int = 300
) -> float:
    """Return the mean limit over the last half of the rounds.

    Results above `capacity`, and the share `failing` of the others, fail.
    """
    chance, limits = random.Random(0), []
    for _ in range(rounds):
        limits.append(limit.value)
        for place in range(int(limit.value)):
            failed = (capacity is not None and place >= capacity) or chance.random() < failing
            limit.note(failed=failed, now=0.0)
    return sum(limits[rounds // 2 :]) / (rounds - rounds // 2)


def test_a_tenth_that_fails_costs_no_concurrency() -> None:
    assert after_rounds(ConcurrencyLimit(ceiling=64), failing=0.1) > 60


@pytest.mark.parametrize("capacity", [4, 16, 40])
def test_the_limit_finds_what_a_server_takes(capacity: int) -> None:
    assert capacity <= after_rounds(ConcurrencyLimit(ceiling=64), capacity=capacity) <= 1.6 * capacity + 1


def test_a_server_that_is_down_is_asked_by_one_and_found_again() -> None:
    limit = ConcurrencyLimit(ceiling=64)
    assert after_rounds(limit, failing=1.0) == 1
    after_rounds(limit, rounds=40)
    assert limit.value == 64


def test_a_wait_holds_everybody_up_only_where_many_are_refused() -> None:
    limit = ConcurrencyLimit(ceiling=64)
    limit.note(failed=True, now=5.0, retry_after=9.0)
    assert limit.resume == 0
    for _ in range(64):
        limit.note(failed=True, now=6.0, retry_after=9.0)
    assert limit.resume == 15.0


@settings(deadline=None)
@given(results=st.lists(st.booleans(), max_size=400), ceiling=st.integers(1, 64))
def test_the_limit_stays_between_one_and_its_ceiling(results: list[bool], ceiling: int) -> None:
    limit = ConcurrencyLimit(ceiling=ceiling)
    for failed in results:
        limit.note(failed=failed, now=0.0)
        assert 1 <= limit.value <= ceiling


async def test_the_gate_keeps_the_order_and_loses_no_place_to_the_cancelled() -> None:
    slots, entered = RequestSlots(ConcurrencyLimit(ceiling=2)), []

    async def enter(number: int) -> None:
        async with slots:
            entered.append(number)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(enter(number)) for number in range(8)]
    await asyncio.sleep(0.001)
    tasks[3].cancel()  # waits
    tasks[0].cancel()  # is inside
    await asyncio.gather(*tasks, return_exceptions=True)
    assert entered == [0, 1, 2, 4, 5, 6, 7]
    async with asyncio.timeout(30), slots, slots:
        pass


def test_delays_grow_up_to_half_a_minute_and_never_undercut_the_server_s() -> None:
    for attempt in range(1, 40):
        longest = min(30.0, 0.25 * 2 ** (attempt - 1))
        assert longest / 2 <= retry_delay(attempt) <= longest
    assert retry_delay(1, retry_after=7.0) == 7.0
