"""The graders' agreement with the experts on logs in other scripts, as the stage grader measures it.

The Japanese and Arabic logs are the pharmacy example in another language: free-form questions of three experts, with
typing errors, small talk and several messages in a row. Their labels are what the generator knows about each turn, not
what patterns find.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from learntoask.core.manifest import Dataset, GraderSettings, Label
from learntoask.core.pack import load_pack
from learntoask.core.stages.contract import StageContext
from learntoask.grading import stage
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from worlds.grader import Recorder

ROOT = Path(__file__).resolve().parents[3]
PHARMACY = ROOT / "examples" / "pharmacy"
CJK = ROOT / "tests" / "data" / "cases" / "cjk"


def agreement_of(folder: Path, logs: Path, pack: Path, method: str) -> dict[str, Any]:
    """The record of the stage grader with the default encoder."""
    spec = SimpleNamespace(dataset=Dataset(uri="x"), label=Label(method=method), grader=GraderSettings())
    inputs: dict[str, Path] = {}
    summary: dict[str, Any] = {}
    for name, run in (("prepare", prepare.run), ("label", label.run), ("grader", stage.run)):
        for part in (name, f"{name}-work"):
            (folder / part).mkdir()
        summary = run(
            StageContext(
                stage=name,
                key=name,
                spec=spec,
                pack=load_pack(pack),
                inputs=inputs,
                files={"dataset": logs},
                out=folder / name,
                work=folder / f"{name}-work",
                progress=Recorder(),
            )
        )
        inputs = {**inputs, name: folder / name}
    return summary["agreement"]


def annotated_logs(folder: Path, language: str) -> Path:
    """The pharmacy's logs in another language, with the generator's truth as annotations."""
    generator = [sys.executable, str(PHARMACY / "generate_logs.py"), "--language", language]
    subprocess.run([*generator, "--out", str(folder)], check=True, timeout=60, stdout=subprocess.DEVNULL)
    lines = (folder / "logs.jsonl").read_bytes().split(b"\n")
    path = folder / "annotated.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for truth in map(json.loads, (folder / "gold.jsonl").read_text(encoding="utf-8").splitlines()):
            if "malformed" in truth or truth["end"] == "excluded":
                continue
            session = json.loads(lines[truth["line"] - 1])
            turns = [
                {
                    "msg": turn["start"],
                    "requested": [_requested(name, turn, truth) for name in turn["requested"]],
                }
                for turn in truth["turns"]
            ]
            file.write(json.dumps({**session, "annotations": {"turns": turns}}, ensure_ascii=False) + "\n")
    return path


def _requested(name: str, turn: dict[str, Any], truth: dict[str, Any]) -> dict[str, Any]:
    for answer in truth["answers"]:
        if answer["field"] == name and answer["message"] >= turn["end"]:
            return {"item": name, "value": answer["value"], "answer_msg": answer["message"]}
    return {"item": name}


@pytest.mark.parametrize("language", ["ja", "ar", "zh"])
def test_graders_agree_with_experts_in_other_scripts(tmp_path: Path, language: str) -> None:
    if language == "zh":
        found = agreement_of(tmp_path, CJK / "logs.jsonl", CJK / "pack.yaml", "lexicon")
    else:
        logs = annotated_logs(tmp_path, language)
        found = agreement_of(tmp_path, logs, PHARMACY / f"pack.{language}.yaml", "annotated")
    for role in ("rewarding", "reporting"):
        assert found[role]["any_hit"]["value"] >= 0.95, role
        assert found[role]["refused"]["value"] <= 0.02, role
        assert found[role]["missing"]["value"] <= 0.05, role
    assert found["experts"]["refused"]["value"] <= 0.02
    assert found["refused"]["made"]["value"] >= 0.98
    assert found["encoder"]["name"] == "hashing"
    assert "minilm learned English" in found["warnings"][0]
