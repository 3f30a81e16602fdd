"""`lta try`: a run is applied, waited for, asked, and taken away again, whatever comes of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from learntoask.cluster.smoke_test import run_smoke_test
from learntoask.core.errors import ClusterError, GateFailed, StageError
from learntoask.core.json_object import Json
from learntoask.kube import ENDPOINT, RUN, Kind
from worlds.fake_kube import FakeKube
from worlds.gateway import gateway, write_pack
from worlds.serving import ScriptedEngine, serving

NAMESPACE = "somewhere"
BODY: Json = {
    "metadata": {"name": "small", "namespace": NAMESPACE},
    "spec": {"dataset": {"uri": "s3://logs/a.jsonl"}, "pack": {"uri": "s3://packs/a.yaml"}},
}


class Cluster(FakeKube):
    """The operator's part: each look at a run brings it one step on, each look at an endpoint too."""

    def __init__(self, *steps: Json, endpoint: tuple[Json, ...] = ()) -> None:
        super().__init__(time.time)
        self._steps = {RUN: list(steps), ENDPOINT: list(endpoint)}

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None, deadline: float = 0) -> Json:
        body = await super().get(kind, name, namespace=namespace)
        steps = self._steps[kind]
        status = steps.pop(0) if len(steps) > 1 else steps[0]
        if "endpoint" in status:
            served = {"metadata": {"name": status["endpoint"]["name"], "namespace": NAMESPACE}, "spec": {}}
            self.put(ENDPOINT, served)
        return {**body, "status": status}


def _at(stage: str) -> Json:
    return {"phase": "Running", "stages": [{"name": stage, "state": "Running"}]}


def _ready(address: str) -> Json:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return {"phase": "Ready", "address": address, "conditions": [condition]}


def _try(cluster: Cluster, *, keep: bool = False, timeout: float = 30.0) -> Any:
    told: list[str] = []
    answered = run_smoke_test(
        cluster,
        BODY,
        say="my throat",
        keep=keep,
        timeout=timeout,
        report=told.append,  # type: ignore[arg-type]
    )
    return answered, told


SERVED = {"phase": "Succeeded", "endpoint": {"name": "small", "address": ""}}


async def test_a_policy_is_asked_and_everything_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learntoask.cluster.smoke_test._POLL_SECONDS", 0.01)
    async with serving(ScriptedEngine()) as server:
        waiting = {"phase": "Pending", "conditions": []}
        cluster = Cluster(_at("sft"), _at("serve"), SERVED, endpoint=(waiting, _ready(server.address)))
        answered, told = _try(cluster)
        decision = await answered
    assert (decision.origin, decision.question) == ("model", "What else about my throat?")
    assert told == ["sft: Running", "serve: Running", "endpoint small: Pending", f"asking {server.address}"]
    assert cluster.all(RUN) == cluster.all(ENDPOINT) == []


async def test_the_fallback_of_a_gateway_without_servers_is_no_answer(tmp_path: Path) -> None:
    async with gateway(write_pack(tmp_path), "nobody.invalid:50051", patience_seconds=0.0) as front:
        cluster = Cluster(SERVED, endpoint=(_ready(front.address),))
        with pytest.raises(ClusterError, match="answers with the fallback: no policy server"):
            await _try(cluster)[0]
    assert cluster.all(RUN) == cluster.all(ENDPOINT) == []


async def test_it_can_be_left_where_it_is() -> None:
    async with serving(ScriptedEngine()) as server:
        cluster = Cluster(SERVED, endpoint=(_ready(server.address),))
        await _try(cluster, keep=True)[0]
    assert len(cluster.all(RUN)) == len(cluster.all(ENDPOINT)) == 1


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (
            {"phase": "Failed", "reason": "RunFailed", "message": "stage sft: no memory"},
            StageError,
            "no memory",
        ),
        ({"phase": "Failed", "reason": "GateFailed", "message": "Total .1 < .8"}, GateFailed, "Total"),
        ({"phase": "Succeeded"}, ClusterError, "no endpoint"),
    ],
)
async def test_what_goes_wrong_is_said_and_nothing_is_left(status: Json, error: type, says: str) -> None:
    cluster = Cluster(status)
    with pytest.raises(error, match=says):
        await _try(cluster)[0]
    assert cluster.all(RUN) == []


async def test_time_that_is_up_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learntoask.cluster.smoke_test._POLL_SECONDS", 0.01)
    cluster = Cluster(_at("sft"))
    with pytest.raises(ClusterError, match="not over in time"):
        await asyncio.wait_for(_try(cluster, timeout=0.1)[0], 10)
    assert cluster.all(RUN) == []
    cluster = Cluster(SERVED, endpoint=({"phase": "Pending"},))
    with pytest.raises(ClusterError, match="endpoint small is not ready in time: Pending"):
        await asyncio.wait_for(_try(cluster, timeout=0.1)[0], 10)
    assert cluster.all(RUN) == cluster.all(ENDPOINT) == []


async def test_what_an_earlier_trial_left_does_not_answer_for_this_one() -> None:
    cluster = Cluster({"phase": "Failed", "message": "new"})
    cluster.put(ENDPOINT, {"metadata": {"name": "small", "namespace": NAMESPACE}, "spec": {"old": True}})
    with pytest.raises(StageError, match="new"):
        await _try(cluster)[0]
    assert cluster.all(ENDPOINT) == []
