"""The pharmacy example, the truth about its logs, and the logs with this truth as annotations."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worlds.cluster.toolchain import ROOT

PHARMACY = ROOT / "examples" / "pharmacy"
sys.path.insert(0, str(PHARMACY))

from pharmacy_gold import GOLD_FILE, Gold, pharmacy_gold  # noqa: E402

__all__ = ["PHARMACY", "Gold", "annotated_logs", "generated_logs", "pharmacy_gold"]


def generated_logs(folder: Path, *, seed: int, sessions: int = 400, language: str = "en") -> Path:
    """Make pharmacy logs and their truth in `folder`; return the logs."""
    settings = ["--out", folder, "--seed", str(seed), "--sessions", str(sessions), "--language", language]
    command = [sys.executable, PHARMACY / "generate_logs.py", *settings]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "logs.jsonl"


def annotated_logs(
    path: Path,
    *,
    source: Path = PHARMACY,
    spoil: Callable[[str, dict[str, Any]], None] = lambda session_id, annotations: None,
) -> Path:
    """Write the logs of the folder `source` with annotations for the labeller `annotated`, and return `path`.

    The annotations are right until `spoil`, which gets the id of a session, changes them.
    """
    logs = (source / "logs.jsonl").read_bytes().splitlines()
    with path.open("w", encoding="utf-8") as file:
        for truth in map(json.loads, (source / GOLD_FILE.name).read_text(encoding="utf-8").splitlines()):
            if "turns" in truth:
                session = json.loads(logs[truth["line"] - 1])
                session["annotations"] = {"turns": [_annotation(turn, truth) for turn in truth["turns"]]}
                spoil(truth["session_id"], session["annotations"])
                file.write(json.dumps(session) + "\n")
    return path


def _annotation(turn: Mapping[str, Any], truth: Mapping[str, Any]) -> dict[str, Any]:
    requested = []
    for field in turn["requested"]:
        given = [one for one in truth["answers"] if one["field"] == field and one["message"] >= turn["end"]]
        answer = {"value": given[0]["value"], "answer_msg": given[0]["message"]} if given else {}
        requested.append({"item": field, **answer})
    return {"msg": turn["start"], "requested": requested}
