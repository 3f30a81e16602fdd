"""The planner in a cluster: attempts that wait, are disrupted, use GPU-hours, or are ended by people."""

from __future__ import annotations

from typing import Any

import pytest
from learntoask.core.manifest import RunSpec
from learntoask.core.stages.graph import STAGES, PackPart, RunInputs
from learntoask.core.stages.planner import (
    Allowance,
    Observed,
    Plan,
    Start,
    Stop,
    plan,
    plan_resolution,
    retry_delay,
)
from learntoask.core.stages.publication import Publication, PublishedFile

PACK: dict[PackPart, str] = {"logs": "l", "policy": "p", "grading": "g", "whole": "w"}
INPUTS = RunInputs(pack=PACK, files={"dataset": "data"})
NOW = 1_000_000.0


def spec(**changes: Any) -> RunSpec:
    return RunSpec.model_validate({"dataset": {"uri": "logs.jsonl"}, "pack": {"uri": "pack.yaml"}, **changes})


def decide(observed: dict[str, Observed] | None = None, *, now: float = NOW, **rest: Any) -> Plan:
    given = {name: rest.pop(name) for name in ("allowance", "cancelled", "published") if name in rest}
    published = given.pop("published", {})
    return plan(
        spec=spec(**rest), inputs=INPUTS, published=published, observed=observed or {}, now=now, **given
    )


KEY = next(
    action.key for action in decide().actions if isinstance(action, Start) and action.stage == "prepare"
)


def seen(state: str, **changes: Any) -> dict[str, Observed]:
    given = {"key": KEY, "state": state, "attempt": 1, "started": NOW - 10, "finished": None, **changes}
    return {"prepare": Observed(**given)}


def of(current: Plan, stage: str = "prepare") -> tuple[str, list[Start | Stop]]:
    state = next(status.state for status in current.stages if status.name == stage)
    return state, [action for action in current.actions if action.stage == stage]


@pytest.mark.parametrize(
    ("observed", "limits", "state", "started", "stopped"),
    [
        pytest.param({"state": "queued", "started": 0.0}, {}, "Queued", None, None, id="a queue may take for ever"),
        pytest.param({"state": "waiting"}, {}, "Waiting", None, None, id="pods are being scheduled"),
        pytest.param(
            {"state": "waiting"}, {"startDeadline": "10s"}, "Waiting", None, "NeverStarted", id="never started"
        ),
        pytest.param(
            {"state": "waiting"}, {"stageDeadline": "1s"}, "Waiting", None, None, id="waiting is not running"
        ),
        pytest.param({"state": "running"}, {"startDeadline": "1s"}, "Running", None, None, id="it did start"),
        pytest.param(
            {"state": "running"}, {"stageDeadline": "10s"}, "Running", None, "DeadlineExceeded", id="too long"
        ),
        pytest.param({"state": "ending", "started": 0.0}, {}, "Stopping", None, None, id="pods still end"),
        pytest.param({"state": "stopped"}, {}, "Pending", 2, None, id="stopped on purpose: on at once"),
        pytest.param(
            {"state": "stopped", "attempt": 9}, {"attempts": 1}, "Pending", 10, None, id="stops do not count"
        ),
        pytest.param(
            {"state": "disrupted", "finished": NOW, "exempt": 1, "disruptions": 1},
            {}, "Retrying", None, None, id="a disruption has its pause",
        ),
        pytest.param(
            {"state": "disrupted", "finished": NOW - 400, "attempt": 40, "exempt": 40, "disruptions": 40},
            {"attempts": 1}, "Retrying", 41, None, id="disruptions do not count",
        ),
        pytest.param(
            {"state": "failed", "finished": NOW - 400, "attempt": 4, "exempt": 3},
            {"attempts": 2}, "Retrying", 5, None, id="one of four counts",
        ),
        pytest.param(
            {"state": "failed", "finished": NOW - 400, "attempt": 5, "exempt": 3},
            {"attempts": 2}, "Failed", None, None, id="two of five count",
        ),
        pytest.param(
            {"state": "failed", "finished": NOW - 400, "retryable": False}, {}, "Failed", None, None, id="final",
        ),
        pytest.param({"state": "running", "key": "old"}, {}, "Running", None, "Superseded", id="other inputs run"),
        pytest.param({"state": "queued", "key": "old"}, {}, "Queued", None, "Superseded", id="other inputs queue"),
        pytest.param({"state": "ending", "key": "old"}, {}, "Stopping", None, None, id="other inputs end first"),
        pytest.param({"state": "failed", "key": "old", "attempt": 7}, {}, "Pending", 1, None, id="others' failures"),
    ],
)  # fmt: skip
def test_one_stage(
    observed: dict[str, Any], limits: dict[str, Any], state: str, started: int | None, stopped: str | None
) -> None:
    found, actions = of(decide(seen(**observed), **limits))
    assert found == state
    assert [action.attempt for action in actions if isinstance(action, Start)] == (
        [started] if started else []
    )
    assert [action.reason for action in actions if isinstance(action, Stop)] == ([stopped] if stopped else [])


def test_the_pause_after_disruptions_grows_by_themselves() -> None:
    current = decide(seen("disrupted", finished=NOW, attempt=5, exempt=3, disruptions=3))
    assert current.wake_at == NOW + retry_delay(3)
    assert retry_delay(500) == retry_delay(50)


def test_a_missed_start_tells_what_was_waited_for() -> None:
    _, (stop,) = of(decide(seen("waiting", message="0/3 nodes have a GPU"), startDeadline="10s"))
    assert isinstance(stop, Stop)
    assert stop.failed
    assert "0/3 nodes have a GPU" in stop.message


def test_gpu_hours_end_a_run_when_they_are_used_and_wake_it_before() -> None:
    budget = {"gpuHours": 4}
    going = decide(seen("running"), budget=budget, allowance=Allowance(used=3.0, rate=2.0))
    assert (going.outcome, going.wake_at) == ("Running", NOW + 1800)
    over = decide(seen("running"), budget=budget, allowance=Allowance(used=4.0, rate=2.0))
    assert (over.outcome, over.reason) == ("Failed", "BudgetExhausted")
    assert [(action.stage, action.reason) for action in over.actions if isinstance(action, Stop)] == [
        ("prepare", "BudgetExhausted")
    ]
    assert decide(allowance=Allowance(used=1e9, rate=1.0)).outcome == "Running", "no budget, no end"


def test_a_failure_is_told_before_a_budget_and_success_before_all() -> None:
    budget = {"gpuHours": 1}
    spent = Allowance(used=2.0)
    failed = decide(seen("failed", retryable=False, message="no"), budget=budget, allowance=spent)
    assert failed.message == "stage prepare: no"
    store: dict[str, Publication] = {}
    while True:
        current = decide(published=store)
        starts = [action for action in current.actions if isinstance(action, Start)]
        if not starts:
            break
        file = PublishedFile(path="out", digest=f"content of {starts[0].stage}", size=1)
        store[starts[0].key] = Publication(stage=starts[0].stage, key=starts[0].key, files=(file,))
    done = decide(published=store, budget=budget, allowance=spent, suspend=True, cancelled="too late")
    assert (done.outcome, done.actions) == ("Succeeded", ())


def test_a_cancelled_run_stops_what_runs_and_starts_nothing() -> None:
    current = decide(seen("waiting"), cancelled="wrong logs", suspend=True)
    assert (current.outcome, current.message) == ("Cancelled", "wrong logs")
    assert [type(action) for action in current.actions] == [Stop]


def test_while_the_inputs_are_not_known_only_they_are_found() -> None:
    first = plan_resolution(spec=spec(), key="k", observed={}, now=NOW)
    assert [(action.stage, action.attempt) for action in first.actions if isinstance(action, Start)] == [
        ("resolve", 1)
    ]
    assert [status.name for status in first.stages] == [
        "resolve",
        *(stage.name for stage in STAGES if not stage.only_with_calibrate),
    ]
    stale = plan_resolution(spec=spec(), key="k", observed=seen("running"), now=NOW)
    assert ("prepare", "Superseded") in [
        (action.stage, action.reason) for action in stale.actions if isinstance(action, Stop)
    ]
    failing = {
        "resolve": Observed(key="k", state="failed", attempt=1, started=NOW, retryable=False, message="gone")
    }
    assert plan_resolution(spec=spec(), key="k", observed=failing, now=NOW).outcome == "Failed"
    assert plan_resolution(spec=spec(suspend=True), key="k", observed={}, now=NOW).outcome == "Suspended"


def test_a_published_stage_is_left_to_end_and_one_of_other_inputs_is_not() -> None:
    file = PublishedFile(path="out", digest="d", size=1)
    published = {KEY: Publication(stage="prepare", key=KEY, files=(file,))}
    same, actions = of(decide(seen("running"), published=published))
    assert (same, actions) == ("Published", [])
    _, (stop,) = of(decide(seen("running", key="old"), published=published))
    assert isinstance(stop, Stop)
