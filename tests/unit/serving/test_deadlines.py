"""Many waits with different deadlines on one timer, on both event loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

import pytest
import uvloop
from learntoask.serving.deadlines import Deadlines


async def waited(deadlines: Deadlines, bound: float, work: Coroutine[None, None, None]) -> float:
    """Return the seconds until the deadline ended `work`, 0 if it ended before."""
    begin = time.monotonic()
    try:
        async with asyncio.timeout(None) as wait:
            deadlines.begin(wait, seconds=bound)
            await work
    except TimeoutError:
        return time.monotonic() - begin
    finally:
        deadlines.end(wait)
    return 0.0


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., list[float]]:
    return request.param  # type: ignore[no-any-return]


def test_each_wait_has_its_own_deadline(run: Callable[..., list[float]]) -> None:
    bounds = [
        0.3,
        0.1,
        30.0,
        0.2,
        0.0,
        -1.0,
    ]  # a later wait can have an earlier deadline, even one in the past

    async def main() -> list[float]:
        deadlines = Deadlines()
        works = [asyncio.sleep(0.4 if bound > 1 else 60) for bound in bounds]
        took = await asyncio.gather(*map(waited, [deadlines] * len(bounds), bounds, works))
        assert len(deadlines) == 0
        return took

    for bound, took in zip(bounds, run(main()), strict=True):
        if bound > 1:
            assert took == 0
        else:
            assert bound - 0.002 <= took < max(bound, 0.0) + 0.15


def test_a_wait_that_ends_slowly_is_told_once_and_holds_up_no_other(run: Callable[..., list[float]]) -> None:
    told = 0

    async def stubborn() -> None:
        nonlocal told
        while True:
            try:
                await asyncio.sleep(0.3 if told else 60)
                return
            except asyncio.CancelledError:
                told += 1

    async def main() -> list[float]:
        deadlines = Deadlines()
        return await asyncio.gather(
            waited(deadlines, 0.05, stubborn()), waited(deadlines, 0.15, asyncio.sleep(60))
        )

    _, other = run(main())
    assert told == 1
    assert 0.14 < other < 0.3


def test_a_cancelled_wait_is_no_overdue_one(run: Callable[..., list[float]]) -> None:
    async def main() -> None:
        deadlines = Deadlines()
        task = asyncio.create_task(waited(deadlines, 30, asyncio.sleep(60)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(deadlines) == 0

    run(main())
