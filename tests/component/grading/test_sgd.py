"""The grader on real annotated logs, against the goals of its design."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from learntoask.core.manifest import Dataset, GraderSettings, Label
from learntoask.core.pack import load_pack
from learntoask.core.stages.contract import StageContext
from learntoask.grading import stage
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.fluency import fluency_guard
from learntoask.grading.grades import Grade, GradeCase
from learntoask.grading.questions import read_questions
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from worlds.grader import Recorder

pytestmark = pytest.mark.data

ROOT = Path(__file__).resolve().parents[3]
SGD = Path(os.environ.get("LTA_DATA", ROOT.parent / "shared/data")) / "sgd"
BESIDE_THE_TASK = [
    "How are you today?",
    "Is there anything else I can help you with?",
    "Are you sure about that?",
    "Would you like to hear a joke?",
    "What do you mean?",
    "What's your favourite colour?",
    "Have you used our service before?",
    "Does that sound good?",
    "Who told you about us?",
    "Can you tell me more about yourself?",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pack, labelled sessions, graders and their agreement, as the stages make them."""
    if not (SGD / "slots.json").exists():
        pytest.skip(f"the annotated logs are not at {SGD}; set LTA_DATA to their folder")
    folder = tmp_path_factory.mktemp("sgd")
    maker = [sys.executable, str(ROOT / "examples/sgd/make_pack.py"), "--data", str(SGD)]
    subprocess.run([*maker, "--out", str(folder / "pack.yaml")], check=True, capture_output=True)
    pack = load_pack(folder / "pack.yaml")
    spec = SimpleNamespace(dataset=Dataset(uri="x"), label=Label(method="annotated"), grader=GraderSettings())
    inputs: dict[str, Path] = {}
    for name, run in (("prepare", prepare.run), ("label", label.run), ("grader", stage.run)):
        (folder / name).mkdir()
        (folder / f"{name}-work").mkdir()
        summary = run(
            StageContext(
                stage=name,
                key=name,
                spec=spec,
                pack=pack,
                inputs=inputs,
                files={"dataset": SGD / "train.jsonl", "test": SGD / "test.jsonl"},
                out=folder / name,
                work=folder / f"{name}-work",
                progress=Recorder(),
            )
        )
        inputs = {**inputs, name: folder / name}
    graders = {role: FieldGrader.load(folder / "grader" / role, pack) for role in ("rewarding", "reporting")}
    questions = read_questions(folder / "label" / "labelled.jsonl", pack)
    return SimpleNamespace(pack=pack, record=summary["agreement"], graders=graders, questions=questions)


@pytest.mark.parametrize("role", ["rewarding", "reporting"])
def test_agreement_with_held_out_annotations(world, role):
    found = world.record[role]
    assert found["questions"] == 335
    assert found["any_hit"]["value"] >= 0.96  # .965 measured; one question is .003
    assert found["unseen"]["any_hit"]["value"] >= 0.95
    assert found["kappa"]["value"] >= 0.85
    assert found["missing"]["value"] <= 0.05


def test_expert_questions_are_kept_and_non_questions_refused(world):
    is_question = fluency_guard(world.pack)
    asked = [example.text for session in world.questions.sessions for example in session.asked]
    assert sum(map(is_question, asked)) / len(asked) >= 0.99
    assert world.record["refused"]["made"]["value"] >= 0.98
    assert world.record["refused"]["user_messages"]["value"] >= 0.96  # some of them ask: "Can you find a bus"


@pytest.mark.parametrize("role", ["rewarding", "reporting"])
def test_questions_beside_the_task_ask_for_none_of_its_fields(world, role):
    cases = [
        GradeCase(session_id="served", task=task.name, response=text, target=task.field_names)
        for task in world.pack.tasks
        for text in BESIDE_THE_TASK
    ]
    grades = world.graders[role].grade(cases)
    rewarded = [isinstance(grade, Grade) and grade.content > 0 for grade in grades]
    assert sum(rewarded) / len(rewarded) <= 0.06
