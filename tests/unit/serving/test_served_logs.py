"""Logs of served conversations: sessions of several gateways are joined, and outcomes find theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.errors import InputError
from learntoask.serving.records.lines import record_lines
from learntoask.serving.records.served_logs import served_logs


def record(conversation: str, *said: str, request: str = "q1") -> dict[str, Any]:
    messages = [{"role": "user", "content": text, "author": "user"} for text in said]
    return {"session_id": f"{conversation}/{request}", "messages": messages, "served": {}}


def outcome(conversation: str, value: str | float, *, name: str = "booked", time: str = "") -> dict[str, Any]:
    return {"conversation": conversation, "outcome": name, "value": value, "time": time}


def test_a_session_has_its_outcomes_wherever_they_were_recorded() -> None:
    found = served_logs(
        [
            outcome("shop/17", "yes"),
            record("shop/17", "hi"),
            outcome("shop/17", 4.5, name="rating"),
            record("other", "hello"),
            outcome("nobody", "no"),
        ]
    )
    assert found.sessions == [
        record("shop/17", "hi") | {"outcomes": {"booked": "yes", "rating": 4.5}},
        record("other", "hello"),
    ]
    assert (found.with_outcomes, found.unknown, found.ambiguous) == (1, 1, 0)


def test_of_contradicting_outcomes_the_first_report_counts() -> None:
    found = served_logs(
        [
            record("c", "hi"),
            outcome("c", "no", time="2026-01-01T11:00:00+00:00"),
            outcome("c", "yes", time="2026-01-01T10:00:00+00:00"),
        ]
    )
    assert found.sessions[0]["outcomes"] == {"booked": "yes"}


def test_what_several_gateways_recorded_of_a_conversation_is_one_session() -> None:
    parts = [record("c", "hi"), record("c", "hi", "since monday", request="q2"), outcome("c", "yes")]
    whole = record("c", "hi", "since monday", request="q2") | {"outcomes": {"booked": "yes"}}
    for lines in (parts, parts[::-1]):
        assert served_logs(lines).sessions == [whole]


def test_an_outcome_of_an_id_that_was_used_twice_is_left_out_and_counted() -> None:
    found = served_logs([record("c", "hi"), record("c", "hello", request="q2"), outcome("c", "yes")])
    assert found.sessions == [record("c", "hi"), record("c", "hello", request="q2")]
    assert (found.with_outcomes, found.unknown, found.ambiguous) == (0, 0, 1)


def test_what_users_write_ends_no_record(tmp_path: Path) -> None:
    path = tmp_path / "conversations.jsonl"
    written = record("c", "one\u2028two\u2029three\x85four\x0cfive")
    path.write_text(json.dumps(written, ensure_ascii=False) + "\n", encoding="utf-8")
    assert list(record_lines([path])) == [written]


def test_sessions_with_an_expert_are_counted() -> None:
    taken_over = record("d", "hi")
    taken_over["messages"].append({"role": "assistant", "content": "I take over", "author": "expert"})
    assert served_logs([record("c", "hi"), taken_over]).with_experts == 1


@pytest.mark.parametrize("line", ["{", "[]", '{"outcome": "booked"}', '{"served": {}, "messages": []}'])
def test_a_line_of_another_kind_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text(f"{json.dumps(outcome('c', 'yes'))}\n{line}\n")
    with pytest.raises(InputError, match=r"outcomes\.jsonl:2: "):
        list(record_lines([path]))
