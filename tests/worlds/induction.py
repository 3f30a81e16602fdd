"""Chats of a bicycle workshop: customers write, mechanics ask in a few wordings and then act."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ASKED: Mapping[str, tuple[str, ...]] = {
    "bike": ("What kind of bike is it?", "Which kind of bike do you ride?"),
    "since": ("Since when does it make the noise?", "Since when has the noise been there?"),
    "day": ("Which day suits you for the visit?", "On which day can you visit us?"),
    "phone": ("What is your phone number?", "May I have your phone number?"),
}
GIVEN: Mapping[str, tuple[str, ...]] = {
    "bike": ("a city bike", "a racing bike", "an e-bike", "a mountain bike"),
    "since": ("since last week", "for two days now", "since yesterday", "for a month"),
    "day": ("Monday would be fine", "Friday please", "Tuesday morning", "on Wednesday"),
    "phone": ("030 1234567", "040 7654321", "089 555123", "0221 998877"),
}
ACTS = ("Thank you, I have booked you in for that.", "Great, I have booked you in at the workshop.")
OPENINGS = {"repair": "Something squeaks, can you mend that?", "rental": "We want to borrow two for a trip"}
MARKER = "<booked>"


def sessions(
    count: int,
    *,
    roles: Sequence[str] = ("user", "assistant"),
    marker: bool = True,
    kinds: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return sessions. `kinds` are the fields that are asked for in each kind, which the key `topic` names."""
    made = []
    for number in range(count):
        rng = random.Random(f"workshop {number}")
        kind = rng.choice(sorted(kinds)) if kinds else ""
        fields = list(kinds[kind]) if kinds else list(ASKED)
        rng.shuffle(fields)
        opening = OPENINGS[kind] if kinds else f"Hello, my bike number {number} makes a noise"
        messages = [(roles[0], opening)]
        for name in fields:
            messages += [(roles[1], rng.choice(ASKED[name])), (roles[0], rng.choice(GIVEN[name]))]
        act = rng.choice(ACTS)
        messages.append((roles[1], f"{act} {MARKER}" if marker else act))
        session: dict[str, Any] = {
            "session_id": f"w-{number}",
            "messages": [{"role": role, "content": content} for role, content in messages],
        }
        made.append({**session, "topic": kind} if kinds else session)
    return made


def write(path: Path, lines: Sequence[Any]) -> Path:
    """Write one JSON value a line."""
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path
