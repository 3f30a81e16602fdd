"""A store that an earlier version of the code wrote is still read: its stages count as published, its files parse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from learntoask.core.records import LabelledSession, Session
from learntoask.local.view import view

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest beside its logs and pack, and the store that these filled."""
    shutil.copytree(RECORDED, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("LTA_STORE", str(tmp_path / "store"))
    return tmp_path / "run.yaml"


def test_stages_that_earlier_code_published_are_not_computed_again(clinic: Path) -> None:
    shown = view(str(clinic), home=clinic.parent / ".lta")
    assert set(shown.publications) == {"prepare", "label"}
    assert {status.name: status.state for status in shown.plan.stages if status.output} == {
        "prepare": "Published",
        "label": "Published",
    }


def test_what_earlier_code_published_is_read(clinic: Path) -> None:
    shown = view(str(clinic), home=clinic.parent / ".lta")
    sessions = [
        Session.model_validate_json(line)
        for line in (shown.output("prepare") / "sessions.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    labelled = [
        LabelledSession.model_validate_json(line)
        for line in (shown.output("label") / "labelled.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    logged = [
        json.loads(line)["session_id"]
        for line in (RECORDED / "logs.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert {session.session_id for session in sessions} == set(logged)
    assert sum(len(session.samples) for session in labelled) == sum(
        shown.publications["label"].summary["samples"].values()
    )
