"""The examples on real annotated logs: where the logs are, and what the example's converter and stages make of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from learntoask.core.manifest import Dataset, GraderSettings, Label
from learntoask.core.pack import Pack, load_pack
from learntoask.core.stages.contract import StageContext
from learntoask.grading import stage as grader
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.questions import read_questions
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare

from worlds.grader import Recorder

ROOT = Path(__file__).resolve().parents[2]


def logs_folder(example: str) -> Path:
    """The folder of the logs of examples/`example`. Skips the test if they are not there."""
    folder = Path(os.environ.get("LTA_DATA", ROOT.parent / "shared/data")) / example
    if not (folder / "train.jsonl").exists():
        pytest.skip(f"the annotated logs are not at {folder}; set LTA_DATA to the folder with {example}/")
    return folder


def converter(
    example: str, *arguments: str | Path, script: str = "make_pack.py"
) -> subprocess.CompletedProcess[str]:
    """Run a script of examples/`example`, which makes the pack unless another one is named."""
    command = [sys.executable, str(ROOT / f"examples/{example}/{script}"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def made_pack(example: str, folder: Path) -> Pack:
    """The pack that the converter makes of the logs."""
    done = converter(example, "--data", logs_folder(example), "--out", folder / "pack.yaml")
    assert done.returncode == 0, done.stderr
    return load_pack(folder / "pack.yaml")


def graded_logs(example: str, folder: Path, *, test: str) -> SimpleNamespace:
    """Pack, labelled sessions, graders and their agreement, as the stages make them of train.jsonl and `test`."""
    logs, pack = logs_folder(example), made_pack(example, folder)
    spec = SimpleNamespace(dataset=Dataset(uri="x"), label=Label(method="annotated"), grader=GraderSettings())
    inputs: dict[str, Path] = {}
    for name, run in (("prepare", prepare.run), ("label", label.run), ("grader", grader.run)):
        (folder / name).mkdir()
        (folder / f"{name}-work").mkdir()
        summary = run(
            StageContext(
                stage=name,
                key=name,
                spec=spec,
                pack=pack,
                inputs=inputs,
                files={"dataset": logs / "train.jsonl", "test": logs / test},
                out=folder / name,
                work=folder / f"{name}-work",
                progress=Recorder(),
            )
        )
        inputs = {**inputs, name: folder / name}
    graders = {role: FieldGrader.load(folder / "grader" / role, pack) for role in ("rewarding", "reporting")}
    questions = read_questions(folder / "label" / "labelled.jsonl", pack)
    return SimpleNamespace(pack=pack, record=summary["agreement"], graders=graders, questions=questions)
