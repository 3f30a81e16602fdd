"""Synthetic chat logs of an online pharmacy counter. Nobody said any of this: everything is made up here.

    python examples/pharmacy/generate_logs.py [--out examples/pharmacy] [--sessions 400] [--seed 1] [--language en]

Writes `logs.jsonl` (one session a line, raw: no labels, malformed lines among them) and `gold.jsonl` (for each of those
lines what is true about it: what each expert turn asked, what the user then gave, how the session ended, or what is
wrong with the line), which only tests read. The same arguments give the same bytes. Standard library only. The
languages are English, Japanese (`ja`) and Arabic (`ar`), each with a pack.
"""

from __future__ import annotations

import argparse
import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from synthetic import arabic, japanese, wording
from synthetic.conversation import Chat, converse
from synthetic.malformed import malformed_lines
from synthetic.people import Wording

HERE = Path(__file__).resolve().parent
WORDINGS = {"en": wording, "ja": japanese, "ar": arabic}
NEAR_DUPLICATES = 6  # sessions that were exported twice, under another id
EARLY = 130  # oddities lie among the first lines, so that a run on part of the file meets them too

Line = dict[str, Any]


def session_pairs(count: int, seed: int, w: Wording) -> list[tuple[Line, Line]]:
    """(log line, gold line) pairs. Every session has a random generator of its own, seeded by its number."""
    pairs: list[tuple[Line, Line]] = []
    clock = datetime(2025, 3, 3, 8, 0)
    for number in range(count - NEAR_DUPLICATES - len(w.TEST_CHATS)):
        rng = random.Random(f"pharmacy {seed} {number}")
        expert = rng.choices(w.EXPERTS, w.EXPERT_WEIGHTS)[0]
        chat, end = converse(rng, expert, w)
        clock += timedelta(minutes=rng.randint(2, 70))
        session_id = f"rx-{250000 + number * 7 + rng.randint(0, 6)}"
        pairs.append((_session(session_id, chat, expert.name, clock), gold(session_id, chat, end)))
    rng = random.Random(f"pharmacy {seed} oddities")
    for line, truth in rng.sample(pairs[:80], NEAR_DUPLICATES):
        copy = {"session_id": line["session_id"] + "-2"}
        messages = [{**message, "content": message["content"] + " "} for message in line["messages"]]
        pairs.insert(rng.randrange(20, EARLY), ({**line, **copy, "messages": messages}, {**truth, **copy}))
    for number, text in enumerate(w.TEST_CHATS):
        chat = Chat(rng, typo=0.0)
        chat.user(text)
        chat.expert("ok")
        session_id = f"rx-test-{number}"
        truth = gold(session_id, chat, "excluded")
        pairs.insert(rng.randrange(20, EARLY), (_session(session_id, chat, "maren", clock), truth))
    return pairs


def gold(session_id: str, chat: Chat, end: str) -> Line:
    """What each expert turn still goes on to ask for and then gets (the micro-goal), by the definition alone."""
    received = [
        (index, name)
        for index, turn in enumerate(chat.turns)
        for name in turn["requested"]
        if any(given["field"] == name and given["message"] >= turn["end"] for given in chat.answers)
    ]
    turns = [
        {**turn, "remaining": sorted({name for asking, name in received if asking >= index})}
        for index, turn in enumerate(chat.turns)
    ]
    stop = len(turns) - 1 if end in ("completed", "handoff") else None
    return {"session_id": session_id, "end": end, "stop_turn": stop, "turns": turns, "answers": chat.answers}


def _session(session_id: str, chat: Chat, expert: str, started: datetime) -> Line:
    about = {"session_id": session_id, "synthetic": True, "expert": expert}
    return {**about, "started": started.isoformat(timespec="minutes"), "messages": chat.messages}


def files(count: int, seed: int, language: str = "en") -> tuple[list[bytes], list[bytes]]:
    """The lines of `logs.jsonl` and of `gold.jsonl`, one for one."""
    pairs = session_pairs(count, seed, WORDINGS[language])
    lines = [(_bytes(line), truth) for line, truth in pairs]
    rng = random.Random(f"pharmacy {seed} malformed")
    for kind, raw in malformed_lines(rng, sample=[line for line, _ in pairs[:20]]):
        lines.insert(rng.randrange(20, EARLY), (raw, {"malformed": kind}))
    truths = [{"line": number, **truth} for number, (_, truth) in enumerate(lines, start=1)]
    return [raw for raw, _ in lines], [_bytes(truth) for truth in truths]


def _bytes(value: Line) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--language", choices=sorted(WORDINGS), default="en")
    options = parser.parse_args(arguments)
    logs, truths = files(options.sessions, options.seed, options.language)
    (options.out / "logs.jsonl").write_bytes(b"\n".join(logs) + b"\n")
    (options.out / "gold.jsonl").write_bytes(b"\n".join(truths) + b"\n")
    print(f"{options.out}: {len(logs)} lines, {options.sessions} of them sessions")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
