"""Logs in Swahili, of which no phrases are known, whose experts ask without question marks."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from learntoask.core.pack import Pack

PACK = Pack.model_validate(
    {
        "name": "duka-la-dawa",
        "language": "sw",
        "roles": {"user": "mteja", "expert": "mfamasia"},
        "endMarkers": ["<tafuta>"],
        "requireEndMarker": True,
        "tasks": [
            {
                "name": "default",
                "fields": [
                    {"name": "umri", "patterns": [r"\bumri wa|\bmiaka mingapi"]},
                    {"name": "muda", "patterns": [r"\blini\b|\btangu\b"]},
                    {"name": "mzio", "patterns": [r"\bmzio\b"]},
                ],
            }
        ],
    }
)
_REQUESTS = (
    ("umri", ("Naomba kujua umri wa mgonjwa.", "Tafadhali niambie umri wako.", "Una miaka mingapi wewe")),
    ("muda", ("Naomba kujua ilianza lini.", "Tafadhali niambie tangu siku ipi.", "Tangu lini unaumwa hivyo")),
    (
        "mzio",
        ("Naomba kujua kama una mzio.", "Tafadhali niambie mzio wako wa dawa.", "Mzio wowote unao wewe"),
    ),
)
_REPLIES = {"umri": "miaka {n}", "muda": "siku {n}", "mzio": "hapana, sina {n}"}


def lines(sessions: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Sessions in which an expert makes three requests, is answered in a few words, and acts."""
    found = []
    for number in range(first, first + sessions):
        rng = random.Random(number)
        said = [("user", f"habari, ninaumwa kichwa namba {number} tangu asubuhi na sijui nifanye nini")]
        for field, wordings in rng.sample(_REQUESTS, 3):
            said.append(("assistant", f"Sawa, asante. {rng.choice(wordings)}"))
            said.append(("user", _REPLIES[field].format(n=rng.randint(2, 60))))
        said.append(("assistant", f"Asante kwa maelezo. Nitakutafutia dawa nzuri namba {number}. <tafuta>"))
        messages = [{"role": role, "content": text} for role, text in said]
        found.append({"session_id": f"sw{number}", "messages": messages})
    return found


def write_logs(path: Path, sessions: int) -> Path:
    """Write the lines to `path`, and return it."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines(sessions))
    path.write_text(text, encoding="utf-8")
    return path
