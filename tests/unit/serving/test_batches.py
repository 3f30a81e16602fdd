"""Batches: what comes while one is sent shares the next."""

from __future__ import annotations

import asyncio

import pytest
from learntoask.rpc.batches import Batches


async def test_items_that_come_while_a_batch_is_sent_share_the_next_within_the_bound():
    sent: list[list[int]] = []
    may_send = asyncio.Event()

    async def send(batch: list[int]) -> None:
        sent.append(batch)
        await may_send.wait()

    batches = Batches(send, most=3)
    await batches.sent()  # nothing to wait for
    batches.put(1)
    await asyncio.sleep(0)
    assert sent == [[1]]
    for item in (2, 3, 4, 5):
        batches.put(item)
    may_send.set()
    await batches.sent()
    assert sent == [[1], [2, 3, 4], [5]]
    batches.put(6)
    await batches.sent()
    assert sent[-1] == [6]


async def test_a_batch_that_cannot_be_sent_does_not_hold_up_later_ones():
    sent: list[list[int]] = []

    async def send(batch: list[int]) -> None:
        if batch == [1]:
            raise ConnectionError
        sent.append(batch)

    batches = Batches(send, most=3)
    batches.put(1)
    with pytest.raises(ConnectionError):
        await batches.sent()
    batches.put(2)
    await batches.sent()
    assert sent == [[2]]


async def test_items_that_come_in_the_pause_before_a_batch_share_it():
    sent: list[list[int]] = []
    pauses = [0.001, 0.0]

    async def send(batch: list[int]) -> None:
        sent.append(batch)

    batches = Batches(send, most=3, pause=lambda: pauses.pop(0))
    batches.put(1)
    await asyncio.sleep(0)
    assert sent == []
    batches.put(2)
    await batches.sent()
    assert sent == [[1, 2]]
    batches.put(3)
    await batches.sent()
    assert sent == [[1, 2], [3]]
