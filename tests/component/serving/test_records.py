"""Records of served conversations: one redacted line each, which the prepare stage reads back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from learntoask.client import AsyncClient, assistant, user
from learntoask.core.manifest import RunSpec
from learntoask.core.prompt import Context
from learntoask.core.records import Message, Session
from learntoask.core.stages.contract import StageContext
from learntoask.labeling.logs import stage as prepare
from learntoask.serving.answer import PolicyAnswer
from learntoask.serving.records import log as records
from learntoask.serving.records.log import RecordedDecision, RecordLog
from learntoask.serving.records.redaction import redaction
from worlds.serving import PACK, ScriptedEngine, recorded, request, samples, serving, stub_of
from worlds.waiting import until


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        """Progress that is ignored."""


async def test_served_conversations_come_back_as_logs_in_which_only_experts_are_targets(tmp_path: Path):
    folder = tmp_path / "records"
    async with serving(ScriptedEngine(), records=folder) as server, AsyncClient(server.address) as client:
        async with client.converse(task="refill", conversation_id="stream") as conversation:
            await conversation.say("pills")
            await conversation.say("bye")
        await until(lambda: recorded(folder))  # a closed stream is written at once, the others on draining
        history = [user("it hurts"), assistant("Since when does it hurt?", author="expert"), user("monday")]
        for _ in range(2):
            decision = await client.decide(history, conversation_id="calls", goal="Advise well.")
            history += [decision.message, user("and tuesday")]
        await client.decide([user("anonymous")])

    by_name = {line["session_id"].split("/")[0]: line for line in recorded(folder)}
    assert len(by_name) == 3
    stream, calls = by_name["stream"], by_name["calls"]
    assert stream["task"] == "refill"
    assert [(m["role"], m["author"], m["content"]) for m in stream["messages"]] == [
        ("user", "user", "pills"),
        ("assistant", "policy", "What else about pills?"),
        ("user", "user", "bye"),
        ("assistant", "policy", "<stop />"),
    ]
    assert [d["action"] for d in stream["served"]["decisions"]] == ["ask", "stop"]
    assert stream["served"]["policy_revision"] == "r1"
    assert calls["goal"] == "Advise well."
    assert [m["author"] for m in calls["messages"]] == ["user", "expert", "user", "policy", "user", "policy"]

    logs = tmp_path / "logs.jsonl"
    logs.write_text("".join(json.dumps(line) + "\n" for line in by_name.values()))
    (tmp_path / "out").mkdir()
    (tmp_path / "work").mkdir()
    prepare.run(
        StageContext(
            stage="prepare",
            key="k",
            spec=RunSpec.model_validate(
                {
                    "dataset": {"uri": "logs.jsonl", "validationShare": 0},
                    "pack": {"uri": "pack.yaml"},
                }
            ),
            pack=PACK,
            inputs={},
            files={"dataset": logs},
            out=tmp_path / "out",
            work=tmp_path / "work",
            progress=Silent(),
        )
    )
    sessions = [Session.model_validate_json(line) for line in (tmp_path / "out/sessions.jsonl").open()]
    assert [session.session_id.split("/")[0] for session in sessions] == ["calls"]  # no expert in the others
    assert [(turn.start, turn.end) for turn in sessions[0].turns] == [(1, 2)]
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "out/quarantine.jsonl").open()]
    assert reasons == ["no-expert-turn"] * 2


async def test_redaction_reaches_every_message_and_the_goal(tmp_path: Path):
    rules = {"redact": (r"\d{3,}",), "redact_hook": "html:escape"}
    async with serving(ScriptedEngine(), records=tmp_path, **rules) as server, stub_of(server) as stub:
        await stub.Decide(request("5551234 & me", goal="Call 999 & co"))
    (line,) = recorded(tmp_path)
    assert line["messages"][0]["content"] == "[redacted] &amp; me"
    assert line["messages"][1]["content"] == "What else about [redacted] &amp; me?"
    assert line["goal"] == "Call [redacted] &amp; co"


def test_a_text_that_a_pattern_searches_without_end_is_redacted_as_a_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("learntoask.serving.records.redaction.LONGEST_SEARCH", 0.01)
    redact = redaction((r"(a|a)+$", "name"), None)
    assert redact("a" * 60 + "!") == "[redacted]"
    assert redact("name") == "[redacted]"


async def test_a_redaction_that_fails_records_nothing(tmp_path: Path):
    async with (
        serving(ScriptedEngine(), records=tmp_path, redact_hook="json:loads") as server,
        stub_of(server) as stub,
    ):
        assert (await stub.Decide(request("not json"))).decision.HasField("ask")
        await until(lambda: samples(server, "lta_serving_record_failures_total") == {(): 1.0})
    assert recorded(tmp_path) == []


CONTEXT = Context("default", None, (Message(role="user", content="hi", author="user"),))
DECISION = RecordedDecision(
    answer=PolicyAnswer("Why?", "model"), stop_probability=0.1, request_id="q", policy_revision="r1"
)


def log(folder: Path, **settings: object) -> RecordLog:
    return RecordLog(folder, pack=PACK, redact=str, **settings)


def test_half_a_line_is_never_left_and_the_conversation_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kept = log(tmp_path)
    for name in ("a", "b"):
        kept.note(name, CONTEXT, DECISION)
    kept.write("a")
    whole = os.write
    monkeypatch.setattr(
        os, "write", lambda descriptor, data: whole(descriptor, data[:10])
    )  # the disk is full
    with pytest.raises(OSError, match="only a part"):
        kept.write("b")
    monkeypatch.undo()
    kept.write("b")
    assert [line["session_id"] for line in recorded(tmp_path)] == ["a/q", "b/q"]
    assert kept.open_conversations() == []


def test_a_conversation_that_rests_has_ended(tmp_path: Path):
    now = [0.0]
    kept = log(tmp_path, clock=lambda: now[0])
    assert kept.note("old", CONTEXT, DECISION) == []
    now[0] = records.IDLE_SECONDS / 2
    assert kept.note("young", CONTEXT, DECISION) == []
    now[0] = records.IDLE_SECONDS
    assert kept.note("new", CONTEXT, DECISION) == ["old"]


def test_open_conversations_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "MAX_OPEN", 2)
    kept = log(tmp_path)
    ended = [kept.note(name, CONTEXT, DECISION) for name in ("a", "b", "c")]
    assert ended == [[], [], ["a"]]


def test_a_full_file_is_followed_by_another(tmp_path: Path):
    kept = log(tmp_path, rotate_bytes=500)
    for number in range(6):
        kept.note(str(number), CONTEXT, DECISION)
        kept.write(str(number))
    files = sorted(tmp_path.glob("*.jsonl"))
    assert len(files) > 1
    assert all(path.stat().st_size <= 500 for path in files)
    assert sorted(line["session_id"] for line in recorded(tmp_path)) == [f"{number}/q" for number in range(6)]
    assert all(
        path.stat().st_mode & 0o077 == 0 for path in files
    )  # conversations are readable for their owner only
