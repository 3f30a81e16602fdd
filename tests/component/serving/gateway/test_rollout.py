"""A new policy replaces the old one behind the gateway under load: no request fails, and the old one gets no more."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from learntoask.client import AsyncClient, user
from learntoask.client.wire import to_wire_assignment
from learntoask.core.status.rollout import RolloutFile
from learntoask.serving.gateway.resolver import Resolution
from learntoask.serving.rollout.file import write
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


async def test_conversations_of_the_control_go_on_marked_when_its_servers_end_after_a_promotion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As in a cluster: both names lead to the new servers, and the old ones end in the middle of conversations."""
    path = tmp_path / "rollout.json"
    names: dict[str, frozenset[str]] = {}

    async def resolved(asked: tuple[str, ...]) -> Resolution:
        return Resolution(names[asked[0]], True)

    monkeypatch.setattr("learntoask.serving.gateway.backends.resolve", resolved)
    async with AsyncExitStack() as running:
        old = [await running.enter_async_context(serving(ScriptedEngine(), revision="old")) for _ in range(2)]
        new = [await running.enter_async_context(serving(ScriptedEngine(), revision="new")) for _ in range(2)]
        names["desk-policy:1"] = frozenset(server.address for server in old)
        names["desk-canary:1"] = frozenset(server.address for server in new)
        write(path, rollout("Steps", weight=50))
        fronts = [
            await running.enter_async_context(
                gateway(
                    write_pack(tmp_path),
                    "desk-policy:1",
                    canary=("desk-canary:1",),
                    rollout=path,
                    resolve_seconds=0.2,
                )
            )
            for _ in range(2)
        ]
        await until(lambda: all(front.backends.serving() == [True] * 2 for front in fronts))
        first, second = [
            await running.enter_async_context(AsyncClient(front.address, attempts=1)) for front in fronts
        ]
        begun = {
            f"c{number}": await first.decide([user("hi")], conversation_id=f"c{number}")
            for number in range(40)
        }
        names["desk-policy:1"] = names["desk-canary:1"]
        write(path, rollout("Promoted", weight=100))
        async with asyncio.TaskGroup() as ending:
            for server in old:
                ending.create_task(server.drain())
            for number, (name, before) in enumerate(begun.items()):  # a failed request fails the test
                decision = await (first, second)[number % 2].decide(
                    [user("hi"), before.message, user("again")],
                    conversation_id=name,
                    assignment=before.assignment,
                )
                told = to_wire_assignment(decision.assignment)
                assert told is not None
                assert decision.origin == "model"
                assert told.moved == (decision.policy_revision != before.policy_revision), name
        for name, before in begun.items():
            later = await second.decide(
                [user("hi"), before.message, user("again")],
                conversation_id=name,
                assignment=before.assignment,
            )
            told = to_wire_assignment(later.assignment)
            assert told is not None
            assert (later.policy_revision, told.moved) == ("new", before.policy_revision == "old"), name
        assert {before.policy_revision for before in begun.values()} == {"old", "new"}


def rollout(stage: str, *, weight: int) -> RolloutFile:
    """What gateways are told of a rollout."""
    state = {
        "id": "r",
        "stage": stage,
        "weight": weight,
        "started": "2026-01-01T00:00:00Z",
        "stepStarted": "2026-01-01T00:00:00Z",
        "ended": "2026-01-01T01:00:00Z" if stage == "Promoted" else None,
    }
    return RolloutFile.model_validate({"strategy": {"mode": "canary"}, "state": state})
