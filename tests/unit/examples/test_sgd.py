"""The converter make_pack.py, which makes the SGD pack from the schema of the logs."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.errors import InputError
from learntoask.core.manifest import load_manifest
from learntoask.core.pack import Pack, load_pack
from worlds.annotated_logs import ROOT, converter, logs_folder, made_pack

SGD = ROOT / "examples/sgd"

SLOTS = {
    "Ferries_1": {
        "description": "Book ferries",
        "slots": {
            "cabin": {"description": "Kind of cabin", "possible_values": ["inner", "outer"]},
            "harbour": {"description": "Where the journey begins", "possible_values": []},
            "price": {"description": "Price of the ticket", "possible_values": []},
            "day": {"description": "Day of the journey", "possible_values": []},
        },
    }
}


def session(**notes: Any) -> dict[str, Any]:
    annotations = {
        "service": "Ferries_1",
        "intent": "FindFerry",
        "required_slots": ["day", "harbour"],
        "known_at_start": [],
        "turns": [],
        "action": {"parameters": {"day": "a-secret-day", "harbour": "a-secret-harbour"}},
    }
    return {"goal": "Find a ferry", "annotations": annotations | notes}


def make_pack(data: Path, out: Path, sessions: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    (data / "slots.json").write_text(json.dumps(SLOTS))
    (data / "train.jsonl").write_text("".join(json.dumps(session) + "\n" for session in sessions))
    (data / "test.jsonl").write_text("")
    return converter("sgd", "--data", data, "--out", out)


def test_required_slots_come_first_then_what_a_call_can_take(tmp_path: Path) -> None:
    known = session(known_at_start=[{"item": "cabin", "value": "a-secret-cabin"}])
    result = make_pack(tmp_path, tmp_path / "pack.yaml", [session(), known])
    assert result.returncode == 0, result.stderr
    task = load_pack(tmp_path / "pack.yaml").task("Ferries_1/FindFerry")
    assert [(field.name, field.required) for field in task.fields] == [
        ("day", True),
        ("harbour", True),
        ("cabin", False),  # a session knew it at the start; `price` is only an output
    ]
    assert task.fields[2].values == ("inner", "outer")
    assert (task.group, task.goal) == ("Ferries_1", "Find a ferry")


def test_no_value_of_a_session_gets_into_the_pack(tmp_path: Path) -> None:
    make_pack(tmp_path, tmp_path / "pack.yaml", [session()])
    assert "secret" not in (tmp_path / "pack.yaml").read_text()


def test_a_slot_that_the_schema_lacks_is_an_error(tmp_path: Path) -> None:
    result = make_pack(tmp_path, tmp_path / "pack.yaml", [session(required_slots=["deck"])])
    assert result.returncode == InputError.exit_code
    assert "Ferries_1" in result.stderr
    assert "deck" in result.stderr
    assert not (tmp_path / "pack.yaml").exists()


def test_missing_data_is_an_error_that_says_what_to_pass(tmp_path: Path) -> None:
    result = converter("sgd", "--data", tmp_path / "nowhere", "--out", tmp_path / "pack.yaml")
    assert result.returncode == InputError.exit_code
    assert "nowhere/slots.json" in result.stderr
    assert "--data" in result.stderr


def test_a_missing_pack_names_the_converter_beside_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist; check pack\.uri"):
        load_pack(tmp_path / "pack.yaml")
    (tmp_path / "make_pack.py").write_text("")
    with pytest.raises(InputError, match=r"make it: python .*make_pack\.py"):
        load_pack(tmp_path / "pack.yaml")


@pytest.fixture(scope="module")
def logs() -> list[dict[str, Any]]:
    files = [logs_folder("sgd") / name for name in ("train.jsonl", "test.jsonl")]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return made_pack("sgd", tmp_path_factory.mktemp("sgd"))


@pytest.mark.data
def test_every_logged_session_fits_its_task(logs: list[dict[str, Any]], pack: Pack) -> None:
    for log in logs:
        notes = log["annotations"]
        task = pack.task(f"{notes['service']}/{notes['intent']}")
        assert {field.name for field in task.fields if field.required} == set(notes["required_slots"])
        named = {item["item"] for turn in notes["turns"] for item in turn["requested"] + turn["remaining"]}
        assert named <= task.field_names
        assert all(field.description for field in task.fields)


@pytest.mark.data
def test_the_list_of_fields_stays_short(pack: Pack) -> None:
    assert max(len(task.fields) for task in pack.tasks) <= 10
    assert max(sum(not field.required for field in task.fields) for task in pack.tasks) <= 4


@pytest.mark.data
def test_the_demo_is_about_a_task_of_the_pack(pack: Pack) -> None:
    assert pack.demo_task in pack.task_by_name
    assert pack.demo


@pytest.mark.data
def test_settings_are_chosen_on_services_that_training_never_saw(tmp_path: Path) -> None:
    arguments = ("--data", logs_folder("sgd"), "--out", tmp_path)
    ended = converter("sgd", *arguments, script="make_development_split.py")
    assert ended.returncode == 0, ended.stderr
    found = {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in tmp_path.glob("*.jsonl")
    }
    assert {name: len(sessions) for name, sessions in found.items()} == {
        "train": 499,
        "train-all": 1775,
        "test": 201,
        "all": 2290,
        "balanced": 1030,
    }
    services, ids = (
        {name: {read(session) for session in sessions} for name, sessions in found.items()}
        for read in (lambda one: one["annotations"]["service"], lambda one: one["session_id"])
    )
    assert services["train"] == services["train-all"]
    assert len(services["test"] - services["train"]) == 4
    assert ids["train"] < ids["train-all"] < ids["all"]
    assert ids["balanced"] < ids["all"]
    of_service = Counter(session["annotations"]["service"] for session in found["balanced"])
    assert set(of_service) == services["all"]
    assert max(of_service.values()) == 70
    assert not ids["test"] & ids["train-all"]


def test_the_manifest_reads_the_pack_that_the_converter_writes() -> None:
    spec = load_manifest(SGD / "run.yaml").spec
    assert (SGD / spec.pack.uri).resolve() == SGD / "pack.yaml"
    assert spec.label.method == "annotated"
    assert spec.dataset.test_uri is not None
