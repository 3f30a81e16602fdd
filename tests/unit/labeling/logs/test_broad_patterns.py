"""The check warns of patterns that match nearly everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.manifest import Dataset
from learntoask.core.pack import Pack, load_pack
from learntoask.labeling.check import check_file
from worlds import swahili

PHARMACY = Path(__file__).resolve().parents[4] / "examples" / "pharmacy"


def warnings(folder: Path, **changes: Any) -> list[str]:
    whole = swahili.PACK.model_dump(mode="json", by_alias=True)
    pack = Pack.model_validate({**whole, **changes})
    logs = swahili.write_logs(folder / "logs.jsonl", 40)
    return [text for text in check_file(logs, pack, Dataset(uri="l")).warnings if "no phrases" not in text]


def fields(name: str, **changes: list[str]) -> list[dict[str, Any]]:
    """The tasks of the pack with other patterns of one field."""
    (task,) = swahili.PACK.model_dump(mode="json", by_alias=True)["tasks"]
    changed = [{**field, **changes} if field["name"] == name else field for field in task["fields"]]
    return [{**task, "fields": changed}]


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"tasks": fields("umri", patterns=["[a-z]"])},
            "pattern '[a-z]' (patterns of field umri) matches 160 of 160",
        ),
        (
            {"tasks": fields("muda", answerPatterns=[r"\w"])},
            r"(answerPatterns of field muda) matches 160 of 160",
        ),
        ({"nonAnswers": ["[a-z]"]}, "(nonAnswers) matches 160 of 160 messages of the user"),
        (
            {"fluency": {"questions": ["[a-z]"]}},
            "(fluency.questions) matches 160 of 160 messages of the expert",
        ),
        ({"handoffPatterns": ["asante"]}, "40 of 40 sessions are handed over: check handoffPatterns"),
        (
            {"requireEndMarker": False, "endMarkers": ["<x>"], "actionPatterns": ["sawa"]},
            "40 of 40 sessions have the expert's act in the first turn: check endMarkers and actionPatterns",
        ),
    ],
)
def test_a_pattern_that_matches_everything_is_named(
    changes: dict[str, Any], warning: str, tmp_path: Path
) -> None:
    assert any(warning in text for text in warnings(tmp_path, **changes))


def test_exclusions_that_match_nearly_every_session_are_named(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, swahili.lines(40))), encoding="utf-8")
    pack = swahili.PACK.model_copy(update={"exclusions": ("dawa",)})
    found = check_file(tmp_path / "some.jsonl", pack, Dataset(uri="l")).warnings
    assert "40 of 40 sessions are set aside: check exclusions of the pack, which should match few" in found


@pytest.mark.parametrize(
    ("greeting", "told"), [("Karibu, eleza mzio wako wote.", True), ("Karibu, una mzio?", False)]
)
def test_a_greeting_that_only_seems_to_ask_for_a_field_is_told_of(
    greeting: str, told: bool, tmp_path: Path
) -> None:
    lines = swahili.lines(40)
    for line in lines:
        line["messages"] = [{"role": "assistant", "content": greeting}, *line["messages"]]
    logs = tmp_path / "logs.jsonl"
    logs.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = check_file(logs, swahili.PACK, Dataset(uri="l")).warnings
    assert any("patterns of field mzio match the greeting of 40 sessions" in text for text in found) is told


def test_good_packs_are_not_warned_of(tmp_path: Path) -> None:
    assert warnings(tmp_path) == []
    pack = load_pack(PHARMACY / "pack.yaml")
    found = check_file(PHARMACY / "logs.jsonl", pack, Dataset(uri="l")).warnings
    assert not [text for text in found if "match" in text]
