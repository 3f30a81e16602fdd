"""The truth about a log, from the annotations of SGD or the gold file of the pharmacy."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples/pharmacy"))

from pharmacy_gold import Gold, GoldSession, pharmacy_gold, wrong_answer

__all__ = ["Gold", "GoldSession", "pharmacy_gold", "sgd_gold", "wrong_answer"]


def sgd_gold(*paths: Path) -> Gold:
    """Read the annotations of SGD's sessions."""
    found = {}
    for session in (session for path in paths for session in _lines(path)):
        notes = session["annotations"]
        turns = notes["turns"]
        found[session["session_id"]] = GoldSession(
            asks={turn["msg"]: frozenset(item["item"] for item in turn["requested"]) for turn in turns},
            goals={turn["msg"]: frozenset(item["item"] for item in turn["remaining"]) for turn in turns},
            stop=notes["stop_msg"],
        )
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
