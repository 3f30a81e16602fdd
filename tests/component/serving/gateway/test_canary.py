"""A gateway tries a new policy without an operator: arms stay, conversations decide, and every user is answered."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from learntoask.client import AsyncClient, CallFailed, user
from learntoask.core.status.rollout import RolloutFile, RolloutStatus
from learntoask.serving.gateway.process import GatewayServer
from learntoask.serving.rollout.file import Orders, orders_path, read_rollout, write
from learntoask.serving.rollout.pairs import read_pairs
from worlds.gateway import gateway, samples, write_pack
from worlds.serving import ScriptedEngine, serving
from worlds.waiting import until

CANARY = {
    "mode": "canary",
    "observeWithin": "1s",
    "steps": [{"weight": 50}],
    "guards": [{"metric": "error", "margin": 0.3}],
    "minConversations": 5,
}

NOTHING = RolloutStatus(id="", stage="Shadow", started="", step_started="")


class Tried:
    """A gateway between a stable and a new policy, whose engine may fail."""

    def __init__(
        self, front: GatewayServer, state: Path, stable: ScriptedEngine, new: ScriptedEngine
    ) -> None:
        self.front, self.state, self.stable, self.new = front, state, stable, new

    def status(self) -> RolloutStatus | None:
        found = read_rollout(self.state)
        return found.state if found else None


@asynccontextmanager
async def trying(tmp_path: Path, strategy: dict[str, Any], **settings: Any) -> AsyncIterator[Tried]:
    path = tmp_path / "rollout.yaml"
    path.write_text(yaml.safe_dump(strategy))
    async with AsyncExitStack() as running:
        stable, new = ScriptedEngine(), ScriptedEngine()
        old_server = await running.enter_async_context(serving(stable, revision="old"))
        new_server = await running.enter_async_context(serving(new, revision="new"))
        front = await running.enter_async_context(
            gateway(
                write_pack(tmp_path),
                old_server.address,
                canary=(new_server.address,),
                strategy=path,
                **settings,
            )
        )
        yield Tried(front, tmp_path / "rollout.yaml.state", stable, new)


async def test_a_good_policy_is_promoted_and_every_conversation_keeps_its_policy(tmp_path: Path) -> None:
    orders = orders_path(tmp_path / "rollout.yaml.state")
    write(orders, Orders(paused=True))  # so that all 60 are born at the first weight, however long that takes
    async with trying(tmp_path, CANARY) as tried, AsyncClient(tried.front.address, attempts=1) as client:
        await until(lambda: bool(tried.front.ledger.traffic.rollout))
        revisions: dict[str, set[str]] = {}
        for number in range(60):
            name = f"c{number}"
            revisions[name] = {(await client.decide([user("hi")], conversation_id=name)).policy_revision}
        write(orders, Orders())
        await until(lambda: (found := tried.status()) is not None and found.verdict == "Promote", seconds=60)
        for name, seen in revisions.items():
            decision = await client.decide([user("hi"), user("again")], conversation_id=name)
            seen.add(decision.policy_revision)
            assert decision.assignment is not None
            assert decision.assignment.arm == ("canary" if decision.policy_revision == "new" else "control")
        assert all(len(seen) == 1 for seen in revisions.values())
        assert {revision for seen in revisions.values() for revision in seen} == {"old", "new"}
        later = [await client.decide([user("hi")], conversation_id=f"later{n}") for n in range(20)]
        assert {decision.policy_revision for decision in later} == {"new"}
        conversations = samples(tried.front, "lta_gateway_rollout_conversations")
        assert conversations["canary", "born"] + conversations["control", "born"] == 60


async def test_a_policy_that_fails_is_rolled_back_and_its_users_are_answered(tmp_path: Path) -> None:
    async with trying(tmp_path, CANARY) as tried, AsyncClient(tried.front.address, attempts=1) as client:
        tried.new.decide = _fail  # type: ignore[method-assign]
        number = 0
        while (found := tried.status()) is None or found.verdict != "Rollback":
            number += 1
            assert number < 3000
            decision = await client.decide([user("hi")], conversation_id=f"c{number}")
            assert (decision.policy_revision, decision.origin) == ("old", "model")
        assert found.reason in ("LimitExceeded", "HarmShown")
        assert found.counts.failed == found.counts.calls
        decision = await client.decide([user("hi")], conversation_id="later")
        assert decision.assignment is not None
        assert decision.assignment.arm == "control"


async def _fail(_context: object) -> None:
    raise RuntimeError("a fault")


async def test_a_stream_that_moves_to_another_gateway_keeps_its_policy(tmp_path: Path) -> None:
    async with trying(tmp_path, CANARY) as tried:
        second = gateway(
            tmp_path / "pack.json",
            *tried.front.config.servers,
            canary=tried.front.config.canary,
            rollout=tried.state,
        )
        await until(tried.state.exists)
        async with second as other, AsyncClient([tried.front.address, other.address]) as client:
            await until(lambda: bool(other.ledger.traffic.rollout))
            seen = []
            for number in range(8):
                async with client.converse(conversation_id=f"s{number}") as conversation:
                    first = await conversation.say("hi")
                    conversation._stream.cancel()  # as if the gateway had gone away
                    conversation._stream = None
                    client._pool.move_on()
                    after = await conversation.say("again")
                    assert first.assignment is not None
                    assert after.assignment is not None
                    assert first.assignment.arm == after.assignment.arm
                    assert first.policy_revision == after.policy_revision
                    seen.append(first.policy_revision)
            assert set(seen) == {"old", "new"}


async def test_copies_are_never_waited_for_and_decide_the_shadow(tmp_path: Path) -> None:
    shadow = {"mode": "shadow", "shadow": {"pairs": 5}, "observeWithin": "1s"}
    async with (
        trying(tmp_path, shadow, attempt_seconds=60.0, records=tmp_path / "records") as tried,
        AsyncClient(tried.front.address, attempts=1) as client,
    ):
        await until(lambda: tried.status() is not None)
        for number in range(100):  # "wait" hangs at the new policy alone
            tried.stable.release.set()
            decision = await client.decide([user("wait")], conversation_id=f"c{number}")
            assert decision.policy_revision == "old"
        assert tried.front.ledger.total().dropped > 0
        tried.new.release.set()
        await _ask_until(client, "d", lambda: tried.front.ledger.total().alike > 0)
        tried.new._answer = _mumbling(tried.new)  # type: ignore[method-assign]  # it needs repairs
        await _ask_until(client, "e", lambda: (tried.status() or NOTHING).counts.worse >= 5)
        found = tried.status()
        assert found is not None
        assert found.weight == 0
        assert found.counts.weights == ()
        assert found.verdict == ("Rollback" if "shadow" in found.harmful else "Hold")
        (recorded,) = (tmp_path / "records").glob("pairs-*.jsonl")
        assert any(name.startswith("e") for name in read_pairs([recorded], found.id))


async def _ask_until(client: AsyncClient, name: str, done: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        for number in itertools.count():
            if done():
                return
            await client.decide([user("hi")], conversation_id=f"{name}{number}")
            await asyncio.sleep(0.05)


def _mumbling(engine: ScriptedEngine) -> Any:
    answer = ScriptedEngine._answer

    async def mumble(context: Any) -> Any:
        last = context.messages[-1].model_copy(update={"content": "mumble"})
        return await answer(engine, type(context)(context.task, context.goal, (*context.messages[:-1], last)))

    return mumble


async def test_orders_pause_promote_and_outlive_a_restart(tmp_path: Path) -> None:
    async with trying(tmp_path, CANARY) as tried:
        await until(lambda: tried.status() is not None)
        found = tried.status()
        assert found is not None
        write(orders_path(tried.state), Orders(paused=True))
        await until(lambda: tried.status().paused, seconds=30)  # type: ignore[union-attr]
        write(orders_path(tried.state), Orders(id="another rollout", order="abort"))
        await until(lambda: not tried.status().paused, seconds=30)  # type: ignore[union-attr]
        assert tried.status().stage == "Steps"  # type: ignore[union-attr]
    async with trying(tmp_path, CANARY) as again:
        write(orders_path(again.state), Orders(id=found.id, order="abort"))
        await until(lambda: again.status().stage == "RolledBack", seconds=30)  # type: ignore[union-attr]
        assert again.status().started == found.started  # type: ignore[union-attr]
        assert again.front.ledger.traffic.weight == 0


async def test_the_control_may_be_the_fallback_and_then_only_compared_conversations_get_it(
    tmp_path: Path,
) -> None:
    strategy = CANARY | {"mode": "ab", "primary": "error", "control": "fallback"}
    async with trying(tmp_path, strategy) as tried, AsyncClient(tried.front.address, attempts=1) as client:
        await until(lambda: tried.status() is not None)
        seen = {}
        for number in range(20):
            decision = await client.decide([user("hi")], conversation_id=f"c{number}")
            assert decision.assignment is not None
            seen[decision.assignment.arm] = (decision.policy_revision, decision.origin)
        assert seen == {"canary": ("new", "model"), "control": ("", "no_server")}
        unnamed = [await client.decide([user(f"hi {number}")]) for number in range(20)]
        assert {decision.policy_revision for decision in unnamed} == {"old", "new"}
        origins = {origin for _, origin in samples(tried.front, "lta_gateway_decisions_total")}
        assert origins == {"model", "no_policy"}  # nothing is wrong with the servers


async def test_callers_keep_their_policy_over_conversations_calls_and_streams(tmp_path: Path) -> None:
    strategy = CANARY | {"unit": "caller"}
    async with (
        trying(tmp_path, strategy, records=tmp_path / "records") as tried,
        AsyncClient(tried.front.address, attempts=1) as client,
    ):
        await until(lambda: tried.status() is not None)
        met: dict[str, set[str]] = {}
        for number in range(24):
            caller = f"person{number % 8}"
            if number % 2:
                decision = await client.decide([user("hi")], conversation_id=f"c{number}", caller_id=caller)
            else:
                async with client.converse(conversation_id=f"c{number}", caller_id=caller) as talk:
                    decision = await talk.say("hi")
            met.setdefault(caller, set()).add(decision.policy_revision)
        assert all(len(own) == 1 for own in met.values())
        assert set.union(*met.values()) == {"old", "new"}
        unknown = await client.decide([user("hi")], conversation_id="nobody")
        assert unknown.policy_revision == "old"
        counts = tried.front.ledger.total()
        assert (counts.returning, counts.without_caller) == (16, 1)
        with pytest.raises(CallFailed, match="caller_id: 201 characters"):
            await client.decide([user("hi")], conversation_id="c", caller_id="x" * 201)
    recorded = [
        json.loads(line)["served"]["rollout"]
        for path in (tmp_path / "records").glob("conversations-*")
        for line in path.open()
    ]
    assert len({one.get("caller") for one in recorded}) == 9
    assert "person" not in json.dumps(recorded)


async def test_outcomes_are_reported_once_recorded_and_counted(tmp_path: Path) -> None:
    guards = [{"metric": "outcome", "outcome": {"name": "booked", "labels": ["yes"]}}]
    strategy = CANARY | {"guards": guards}
    async with trying(tmp_path, strategy, records=tmp_path / "records") as tried:
        async with AsyncClient(tried.front.address, attempts=1) as client:
            await until(lambda: tried.status() is not None)
            await client.decide([user("hi")], conversation_id="c1")
            await client.report_outcome("c1", "booked", "yes")
            await client.report_outcome("c1", "booked", "yes")
            for name, outcome, value, code in (
                ("c1", "booked", "no", "ALREADY_EXISTS"),
                ("c1", "booked", 3.0, "INVALID_ARGUMENT"),
                ("c1", "", "yes", "INVALID_ARGUMENT"),
                ("", "booked", "yes", "INVALID_ARGUMENT"),
                ("c1", "booked", "", "INVALID_ARGUMENT"),
                ("c1", "rating", float("nan"), "INVALID_ARGUMENT"),
                ("nobody", "booked", "yes", "NOT_FOUND"),
            ):
                with pytest.raises(CallFailed) as failed:
                    await client.report_outcome(name, outcome, value)
                assert failed.value.code == code, (name, outcome, value)
        outcomes = samples(tried.front, "lta_gateway_outcomes_total")
        assert outcomes == {("recorded",): 1, ("repeated",): 1, ("conflicting",): 1, ("unknown",): 1}
    lines = [json.loads(line) for path in (tmp_path / "records").glob("outcomes-*") for line in path.open()]
    assert [(line["conversation"], line["outcome"], line["value"]) for line in lines] == [
        ("c1", "booked", "yes")
    ]
    (record,) = [
        json.loads(line) for path in (tmp_path / "records").glob("conversations-*") for line in path.open()
    ]
    rollout = record["served"]["rollout"]
    assert (rollout["conversation"], rollout["weight"], rollout["compared"]) == ("c1", 50, True)
    assert rollout["arm"] == ("canary" if record["served"]["policy_revision"] == "new" else "control")
    assert abs(rollout["born"] - time.time()) < 600


async def test_a_policy_server_takes_no_outcomes(tmp_path: Path) -> None:
    async with serving(ScriptedEngine()) as server, AsyncClient(server.address, attempts=1) as client:
        with pytest.raises(CallFailed) as failed:
            await client.report_outcome("c1", "booked", "yes")
        assert failed.value.code == "UNIMPLEMENTED"


async def test_an_outcome_needs_the_callers_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret-token-of-callers")
    async with (
        serving(ScriptedEngine()) as server,
        gateway(write_pack(tmp_path), server.address, token_file=tmp_path / "token") as front,
        AsyncClient(front.address, attempts=1) as stranger,
        AsyncClient(front.address, attempts=1, token="secret-token-of-callers") as caller,
    ):
        await caller.decide([user("hi")], conversation_id="c1")
        with pytest.raises(CallFailed) as failed:
            await stranger.report_outcome("c1", "booked", "yes")
        assert failed.value.code == "UNAUTHENTICATED"
        await caller.report_outcome("c1", "booked", "yes")


async def test_a_mounted_file_moves_the_traffic_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "rollout.json"
    async with AsyncExitStack() as running:
        old = await running.enter_async_context(serving(ScriptedEngine(), revision="old"))
        new = await running.enter_async_context(serving(ScriptedEngine(), revision="new"))
        front = await running.enter_async_context(
            gateway(write_pack(tmp_path), old.address, canary=(new.address,), rollout=path)
        )
        client = await running.enter_async_context(AsyncClient(front.address, attempts=1))
        decision = await client.decide([user("hi")], conversation_id="before")
        assert (decision.policy_revision, decision.assignment) == ("old", None)
        for weight, stage in ((99, "Steps"), (0, "RolledBack")):
            state = RolloutStatus(
                id="r",
                stage=stage,
                weight=weight,
                started="2026-01-01T00:00:00Z",
                step_started="2026-01-01T00:00:00Z",
            )
            write(path, RolloutFile.model_validate({"strategy": CANARY, "state": state}))
            await until(lambda weight=weight: front.ledger.traffic.weight == weight, seconds=30)
            seen = [
                (await client.decide([user("hi")], conversation_id=f"{weight}-{number}")).policy_revision
                for number in range(20)
            ]
            assert ("new" in seen) == (weight > 0)
        path.write_text("{")  # a broken file changes nothing
        path.with_name("x").write_text("")
        decision = await client.decide([user("hi")], conversation_id="after")
        assert decision.policy_revision == "old"
        path.unlink()  # the rollout is over
        await until(lambda: front.ledger.traffic.rollout == "", seconds=30)
