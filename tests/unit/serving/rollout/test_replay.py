"""Verdicts computed again from records are those of the counts that a gateway had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.errors import InputError
from learntoask.core.manifest.strategy import Strategy
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.replay import replay
from worlds.serving import PACK

STRATEGY = Strategy.model_validate(
    {
        "mode": "canary",
        "observeWithin": "60s",
        "steps": [{"weight": 50}],
        "guards": [
            {"metric": "abandoned"},
            {"metric": "outcome", "outcome": {"name": "booked", "labels": ["yes"]}},
        ],
    }
)
EVENTS = EventReader(PACK)


def record(number: int, *, stopped: bool, arm: str, age: float = 5.0, **rollout: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "hi", "author": "user"}]
    answer = "<stop />" if stopped else "Since when?"
    return {
        "session_id": f"c{number}/q",
        "messages": [*said, {"role": "assistant", "content": answer, "author": "policy"}],
        "served": {
            "policy_revision": "x",
            "decisions": [
                {
                    "message": 1,
                    "action": "stop" if stopped else "ask",
                    "origin": "model",
                    "age": age,
                    "failed": False,
                }
            ],
            "rollout": {
                "id": "r",
                "conversation": f"c{number}",
                "task": "default",
                "arm": arm,
                "weight": 50,
                "born": 1000.0 + number,
                "compared": True,
                "moved": False,
            }
            | rollout,
        },
    }


def written(tmp_path: Path, *lines: dict[str, Any]) -> Path:
    path = tmp_path / "conversations.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_a_bad_canary_is_found_at_the_conversation_that_shows_it(tmp_path: Path) -> None:
    lines = [
        record(number, stopped=number % 2 == 0, arm="control" if number % 2 == 0 else "canary")
        for number in range(60)
    ]
    (found,) = replay([written(tmp_path, *lines)], STRATEGY, EVENTS).values()
    assert (found.state.verdict, found.state.reason) == ("Rollback", "HarmShown")
    assert 5 < found.ends_at < 30
    assert found.conversations == 60
    again = replay([written(tmp_path, *reversed(lines))], STRATEGY, EVENTS)["r"]
    assert again == found  # files and gateways may come in any order


def test_what_came_too_late_or_is_not_compared_does_not_count(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        record(1, stopped=True, arm="canary", age=61.0),
        record(2, stopped=True, arm="canary", compared=False),
        record(3, stopped=True, arm="canary", moved=True),
        record(4, stopped=True, arm="canary"),
    )
    (found,) = replay([path], STRATEGY, EVENTS).values()
    metrics = {metric.metric: metric for metric in found.state.counts.at(50).metrics}
    assert (metrics["abandoned"].canary_events, metrics["abandoned"].canary) == (1, 2)
    assert metrics["error"].canary == 3


def test_each_caller_counts_once_also_at_several_gateways(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        record(2, stopped=True, arm="canary", caller="ann"),
        record(1, stopped=False, arm="canary", caller="ann"),
        record(3, stopped=True, arm="control", caller="ben"),
        record(4, stopped=True, arm="control"),
    )
    by_caller = STRATEGY.model_copy(update={"unit": "caller"})
    (found,) = replay([path], by_caller, EVENTS).values()
    assert found.conversations == 2
    metrics = {metric.metric: metric for metric in found.state.counts.at(50).metrics}
    assert (metrics["abandoned"].canary_events, metrics["abandoned"].canary) == (1, 1)
    assert replay([path], STRATEGY, EVENTS)["r"].conversations == 4


def test_records_of_two_gateways_are_one_conversation_and_outcomes_join_it(tmp_path: Path) -> None:
    first, second = record(1, stopped=False, arm="canary"), record(1, stopped=True, arm="canary", age=9.0)
    second["messages"] = [*first["messages"], second["messages"][0], second["messages"][1]]
    second["served"]["decisions"][0]["message"] = 3
    outcomes = [
        {"conversation": "c1", "outcome": "booked", "value": "no"},
        {"conversation": "c1", "outcome": "booked", "value": "yes"},
        {"conversation": "c2", "outcome": "booked", "value": "no"},
    ]
    (found,) = replay([written(tmp_path, second, first, *outcomes)], STRATEGY, EVENTS).values()
    metrics = {metric.metric: metric for metric in found.state.counts.at(50).metrics}
    assert (metrics["abandoned"].canary_events, metrics["abandoned"].canary) == (0, 1)
    assert (metrics["outcome/booked"].canary_events, metrics["outcome/booked"].canary) == (1, 1)


@pytest.mark.parametrize("line", ["{", "[]", '{"messages": []}'])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"{json.dumps(record(1, stopped=True, arm='canary'))}\n{line}\n")
    with pytest.raises(InputError, match=r"x\.jsonl:2"):
        replay([path], STRATEGY, EVENTS)
