"""A new policy replaces the old one behind the gateway under load: no request fails, and the old one gets no more."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from learntoask.client import AsyncClient, user
from learntoask.serving.gateway.resolver import Resolution
from worlds.gateway import gateway, write_pack
from worlds.serving import ScriptedEngine, serving
from worlds.waiting import until

CLIENTS = 8


async def ask_on(address: str, number: int, revisions: list[str], ended: asyncio.Event) -> None:
    """Hold one conversation after another, in streams and single calls alternately."""
    async with AsyncClient(address, attempts=1) as client:
        count = 0
        while not ended.is_set():
            count += 1
            if count % 2:
                async with client.converse(conversation_id=f"{number}-{count}") as conversation:
                    for turn in ("it hurts", "since monday", "mostly at night"):
                        revisions.append((await conversation.say(turn)).policy_revision)
                        await asyncio.sleep(0.01)
            else:
                decision = await client.decide([user("it hurts")], conversation_id=f"{number}-{count}")
                revisions.append(decision.policy_revision)
            await asyncio.sleep(0.01)


async def test_no_ask_fails_while_traffic_moves_and_the_old_servers_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with AsyncExitStack() as running:
        old = [await running.enter_async_context(serving(ScriptedEngine(), revision="old")) for _ in range(3)]
        new = [await running.enter_async_context(serving(ScriptedEngine(), revision="new")) for _ in range(3)]
        found = [Resolution(frozenset(server.address for server in old), True)]

        async def resolved(_names: tuple[str, ...]) -> Resolution:
            return found[-1]

        monkeypatch.setattr("learntoask.serving.gateway.backends.resolve", resolved)
        front = await running.enter_async_context(
            gateway(write_pack(tmp_path), "policies:50051", resolve_seconds=0.2)
        )
        await until(lambda: front.backends.serving() == [True] * 3)
        revisions: list[str] = []
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as asking:  # a failed request fails the test
            for number in range(CLIENTS):
                asking.create_task(ask_on(front.address, number, revisions, ended))
            await until(lambda: len(revisions) > 100, seconds=60)
            assert set(revisions) == {"old"}
            found.append(Resolution(frozenset(server.address for server in new), True))
            # The name moves and the old servers begin to drain before the gateway has looked the name up again.
            for server in old:
                asking.create_task(server.drain())
            await until(lambda: "new" in revisions, seconds=60)
            moved = len(revisions)
            await until(lambda: len(revisions) > moved + 100, seconds=60)
            ended.set()
        assert set(revisions) == {"old", "new"}
        assert set(revisions[-50:]) == {"new"}
