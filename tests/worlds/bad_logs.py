"""Logs that no pack, or no good one, can be made from, and what `lta init` says about each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from learntoask.cli.init import init

from worlds.induction import sessions, write
from worlds.llm.server import LlmServer, Reply

Lines = list[dict[str, Any]]


def other_faults(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield faults that are not in the logs: what each is, what `lta init` says, and what that should hold."""
    logs, out = write(folder / "good.jsonl", sessions(30)), folder / "out"
    init_says(logs, out)
    wanted = "already holds pack.yaml, run.yaml, suggest.html; --force writes over them"
    yield "an existing pack in the way", init_says(logs, out), wanted
    for name, content, wanted in other_formats():
        path = folder / name
        path.write_bytes(content)
        yield f"another format: {name}", init_says(path, folder / f"out-{name}"), wanted
    with LlmServer(_nonsense) as server:
        said = init_says(logs, out, "--force", "--llm", server.uri, "--model", "m")
    wanted = "keeps its name: 'a b; c' is not a name of letters, digits and _"
    yield "a model that names clusters nonsense", said, wanted


def other_formats() -> Iterator[tuple[str, bytes, str]]:
    """Yield files that are no JSON Lines of sessions: the name, the content, and what `lta init` should say."""
    lines = sessions(5)
    yield "list.json", json.dumps(lines).encode(), "one JSON list: jq -c '.[]' FILE"
    yield "indented.json", json.dumps(lines[0], indent=1).encode(), "the objects span several lines"
    yield "table.csv", b"id,role,text\n1,user,hello\n", "line 1: not valid JSON"
    yield "utf16.jsonl", json.dumps(lines[0]).encode("utf-16"), "line 1: "
    rows = [{"session_id": "1", "role": "user", "text": "hello"}]
    yield "rows.jsonl", json.dumps(rows[0]).encode(), "the first one has 'session_id', 'role', 'text'"


def bad_logs() -> Iterator[tuple[str, Lines, str]]:
    """Yield what is wrong with the logs, the logs, and what `lta init` should say."""
    yield "one role only", _with(lambda role, text: ("user", text)), "the logs hold one role only ('user')"
    yield "ten sessions", sessions(10), "10 sessions are few"
    yield "one session", sessions(1), "holds 1 different sessions"
    yield "no questions", _with(lambda role, text: (role, _said(role, text, "All right."))), "asks anything"
    yield (
        "questions in images",
        _with(lambda role, text: (role, _said(role, text, "[image]"))),
        "not as images or buttons",
    )
    unnamed = sessions(20)
    for line in unnamed:
        del line["session_id"]
    yield (
        "no ids",
        unnamed,
        "20 missing-session-id, such as line 1: session_id: is missing; give every session",
    )
    people = sessions(60)
    for number, line in enumerate(people):
        for message in line["messages"]:
            message["role"] = f"{message['role']} {number}"
    yield "names of people as roles", people, "as if names of people stood in place of roles"
    others = sessions(20)
    for line in others:
        line["messages"] = [{"sender": one["role"], "text": one["content"]} for one in line["messages"]]
    yield "other keys of messages", others, "the first message has 'sender', 'text'"
    emptied = sessions(40)
    for line in emptied[::2]:
        line["messages"][1]["content"] = " "
    yield (
        "empty messages",
        emptied,
        "20 of 40 lines are set aside: 20 empty-message, such as line 1: messages[1]",
    )
    german = _with(lambda role, text: (role, f"Wie alt ist das und seit wann haben Sie es: {text}"))
    for line in german:
        line["session_id"] += "-de"
    yield "two languages in one file", [*sessions(30), *german], "de makes up more than 10% of the sessions"


def _with(change: Callable[[str, str], tuple[str, str]]) -> Lines:
    lines = sessions(20)
    for line in lines:
        for message in line["messages"]:
            message["role"], message["content"] = change(message["role"], message["content"])
    return lines


def _said(role: str, text: str, expert: str) -> str:
    return expert if role == "assistant" else text


def init_says(logs: Path, out: Path, *options: str) -> str:
    """Return what `lta init` prints, with the error that it ends with."""
    done = CliRunner().invoke(init, [str(logs), "--out", str(out), *options], env={"COLUMNS": "400"})
    return f"{done.output}\n{done.exception or ''}"


def line_with(said: str, wanted: str) -> str:
    """Return the line that holds what is wanted, or else the last one."""
    lines: Sequence[str] = said.splitlines()
    return next((line for line in lines if wanted in line), lines[-1] if lines else "")[:300]


def _nonsense(asked: object) -> Reply:
    text = str(asked.question)  # type: ignore[attr-defined]
    ids = [line.split(": ")[0] for line in text.splitlines() if line[:1].isdigit()]
    return Reply(json.dumps({"name": "a b; c", "description": "what it is", "question_ids": ids}))
