"""The converter make_pack.py, which makes the STAR pack from the list of fields that comes with the logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.errors import InputError
from learntoask.core.manifest import load_manifest
from learntoask.core.pack import Pack, load_pack
from learntoask.core.prompt import system_prompt
from learntoask.labeling.check import CheckSettings, check_file
from worlds.annotated_logs import ROOT, converter, logs_folder, made_pack

STAR = ROOT / "examples/star"
FIELDS = {
    "party_plan": {"goal": "Plan a party", "fields": {"Day": 9, "HostName": 7, "FoodRequest": 1}},
    "doctor_schedule": {"goal": "See a doctor", "fields": {"Symptoms": 9, "Name": 7}},
}
PROMPT = """\
{goal}
Needed:
{needed}
Ask for what is still missing. When nothing needed is missing, stop asking. Then answer <stop />"""


@pytest.fixture
def small(tmp_path: Path) -> Pack:
    """The pack of a shorter list of fields."""
    (tmp_path / "fields.json").write_text(json.dumps(FIELDS))
    result = converter("star", "--data", tmp_path, "--out", tmp_path / "pack.yaml")
    assert result.returncode == 0, result.stderr
    return load_pack(tmp_path / "pack.yaml")


def test_fields_have_the_order_of_the_list_and_say_what_a_task_can_do_without(small: Pack) -> None:
    task = small.task("party_plan")
    assert task.goal == "Plan a party"
    assert [(field.name, field.required) for field in task.fields] == [
        ("Day", True),
        ("HostName", True),
        ("FoodRequest", False),
    ]
    assert all(field.questions for field in task.fields)


def test_the_prompt_describes_the_fields_instead_of_naming_them(small: Pack) -> None:
    needed = "- symptoms\n- doctor to see"
    assert system_prompt(small, "doctor_schedule") == PROMPT.format(goal="See a doctor", needed=needed)
    needed = "- day of the party\n- name of the host\nNot always needed:\n- food to serve"
    assert system_prompt(small, "party_plan") == PROMPT.format(goal="Plan a party", needed=needed)


def test_a_field_that_the_converter_does_not_describe_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "fields.json").write_text(json.dumps({"party_plan": {"goal": "", "fields": {"Band": 1}}}))
    result = converter("star", "--data", tmp_path, "--out", tmp_path / "pack.yaml")
    assert result.returncode == InputError.exit_code
    assert "'party_plan' has the field 'Band'" in result.stderr
    assert not (tmp_path / "pack.yaml").exists()


def test_missing_data_is_an_error_that_says_what_to_pass(tmp_path: Path) -> None:
    result = converter("star", "--data", tmp_path / "nowhere", "--out", tmp_path / "pack.yaml")
    assert result.returncode == InputError.exit_code
    assert "nowhere/fields.json" in result.stderr
    assert "--data" in result.stderr


def test_the_manifest_reads_the_pack_that_the_converter_writes() -> None:
    spec = load_manifest(STAR / "run.yaml").spec
    assert (STAR / spec.pack.uri).resolve() == STAR / "pack.yaml"
    assert spec.label.method == "annotated"
    assert Path(spec.dataset.uri).name == "train.jsonl"
    assert spec.dataset.test_uri is not None


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return made_pack("star", tmp_path_factory.mktemp("star"))


@pytest.mark.data
@pytest.mark.parametrize(("split", "sessions", "samples"), [("train", 508, 2108), ("validation", 160, 643)])
def test_every_line_is_a_session_and_every_decision_point_has_its_label(
    pack: Pack, split: str, sessions: int, samples: int
) -> None:
    dataset = load_manifest(STAR / "run.yaml").spec.dataset
    found = check_file(
        logs_folder("star") / f"{split}.jsonl", pack, dataset, settings=CheckSettings(method="annotated")
    )
    assert found.ok
    assert not found.unknown_items
    assert (found.sessions, found.stop_samples) == (sessions, sessions)
    assert found.continue_samples + found.stop_samples == samples
    never_asked = [warning for warning in found.warnings if warning.startswith("no expert ever asks for")]
    assert list(found.warnings) == never_asked  # three fields are too rare for the smaller file


@pytest.mark.data
def test_the_calls_of_the_experts_name_every_required_field(pack: Pack) -> None:
    for split in ("train", "validation"):
        lines = (logs_folder("star") / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        for line in lines:
            notes: dict[str, Any] = json.loads(line)["annotations"]
            required = {field.name for field in pack.task(notes["task"]).fields if field.required}
            assert required <= set(notes["action"]["constraints"])
