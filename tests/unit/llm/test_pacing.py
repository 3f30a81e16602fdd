"""How many requests at once, and what a kill leaves of a journal."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.llm.concurrency import ConcurrencyLimit, RequestSlots, retry_delay
from learntoask.llm.journal import ReplyJournal
from learntoask.llm.wire import Reply, TokenCounts, retry_after


def after_rounds(
    pace: ConcurrencyLimit, *, capacity: int | None = None, failing: float = 0.0, rounds: int = 300
) -> float:
    """The mean limit over the last half, where results above `capacity` and a share of the others fail."""
    chance, limits = random.Random(0), []
    for _ in range(rounds):
        limits.append(pace.limit)
        for place in range(int(pace.limit)):
            failed = (capacity is not None and place >= capacity) or chance.random() < failing
            pace.note(failed=failed, now=0.0)
    return sum(limits[rounds // 2 :]) / (rounds - rounds // 2)


def test_a_tenth_that_fails_costs_no_concurrency() -> None:
    assert after_rounds(ConcurrencyLimit(ceiling=64), failing=0.1) > 60


@pytest.mark.parametrize("capacity", [4, 16, 40])
def test_the_limit_finds_what_a_server_takes(capacity: int) -> None:
    assert capacity <= after_rounds(ConcurrencyLimit(ceiling=64), capacity=capacity) <= 1.6 * capacity + 1


def test_a_server_that_is_down_is_asked_by_one_and_found_again() -> None:
    pace = ConcurrencyLimit(ceiling=64)
    assert after_rounds(pace, failing=1.0) == 1
    after_rounds(pace, rounds=40)
    assert pace.limit == 64


def test_a_wait_holds_everybody_up_only_where_many_are_refused() -> None:
    pace = ConcurrencyLimit(ceiling=64)
    pace.note(failed=True, now=5.0, retry_after=9.0)
    assert pace.resume == 0
    for _ in range(64):
        pace.note(failed=True, now=6.0, retry_after=9.0)
    assert pace.resume == 15.0


@settings(deadline=None)
@given(results=st.lists(st.booleans(), max_size=400), ceiling=st.integers(1, 64))
def test_the_limit_stays_between_one_and_its_ceiling(results: list[bool], ceiling: int) -> None:
    pace = ConcurrencyLimit(ceiling=ceiling)
    for failed in results:
        pace.note(failed=failed, now=0.0)
        assert 1 <= pace.limit <= ceiling


async def test_the_gate_keeps_the_order_and_loses_no_place_to_the_cancelled() -> None:
    gate, entered = RequestSlots(ConcurrencyLimit(ceiling=2)), []

    async def enter(number: int) -> None:
        async with gate:
            entered.append(number)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(enter(number)) for number in range(8)]
    await asyncio.sleep(0.001)
    tasks[3].cancel()  # waits
    tasks[0].cancel()  # is inside
    await asyncio.gather(*tasks, return_exceptions=True)
    assert entered == [0, 1, 2, 4, 5, 6, 7]
    async with asyncio.timeout(30), gate, gate:
        pass


def test_delays_grow_up_to_half_a_minute_and_never_undercut_the_server_s() -> None:
    for attempt in range(1, 40):
        longest = min(30.0, 0.25 * 2 ** (attempt - 1))
        assert longest / 2 <= retry_delay(attempt) <= longest
    assert retry_delay(1, retry_after=7.0) == 7.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Wed, 01 Jan 2025 00:00:30 GMT", "date": "Wed, 01 Jan 2025 00:00:10 GMT"}, 20.0),
        ({"retry-after": "Wed, 01 Jan 2025 00:00:00 GMT", "date": "Wed, 01 Jan 2025 00:00:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_the_wait_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


replies = st.dictionaries(
    st.text("0123456789abcdef", min_size=8, max_size=8),
    st.builds(
        Reply,
        content=st.text(),
        finish=st.just("stop"),
        usage=st.builds(TokenCounts, prompt=st.integers(0, 9)),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=50)
@given(replies=replies, data=st.data())
def test_a_journal_cut_anywhere_holds_every_whole_line_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, replies: dict[str, Reply], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "answers.jsonl"
    journal = ReplyJournal(path)
    for asked, reply in replies.items():
        journal.add(asked, reply)
    journal.close()
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    again = ReplyJournal(path)
    kept = list(replies.items())[: whole[:cut].count(b"\n")]
    assert [(asked, again.find(asked)) for asked, _ in kept] == kept
    assert list(again) == [reply for _, reply in kept]
    for asked, reply in replies.items():
        if again.find(asked) is None:
            again.add(asked, reply)
    again.close()
    assert path.read_bytes() == whole
