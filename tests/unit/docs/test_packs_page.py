"""The files of docs/packs.md load, its figures are correct, and it names every key of the pack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from learntoask.core.manifest import Dataset, parse_manifest
from learntoask.core.pack import Pack, PackModel, parse_pack
from learntoask.labeling.check import check_file

PAGE = (Path(__file__).parents[3] / "docs/packs.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PACK, MANIFEST = (text for language, text in BLOCKS if language == "yaml")
LOGS = next(text for language, text in BLOCKS if language == "jsonl")


def test_the_check_of_the_worked_example_finds_what_the_page_says(tmp_path: Path) -> None:
    logs = tmp_path / "chats.jsonl"
    logs.write_text(LOGS, encoding="utf-8")
    report = check_file(logs, parse_pack(PACK, where="docs/packs.md"), Dataset(uri="chats.jsonl"))
    assert (report.sessions, report.quarantined) == (3, {})
    assert {end: count for end, count in report.ends.items() if count} == {"completed": 2, "abandoned": 1}
    assert report.decision_points == 6
    assert (report.questions, report.unnamed_questions) == (4, 1)
    assert (report.continue_samples, report.stop_samples, report.dropped_empty) == (2, 2, 2)


def test_the_manifest_of_the_worked_example_is_valid() -> None:
    assert parse_manifest(MANIFEST, where="docs/packs.md").spec.dataset.uri == "chats.jsonl"


def test_the_page_names_every_key_of_the_pack() -> None:
    named = set(re.findall(r"[A-Za-z]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))
    assert _keys(Pack) - named == set()


def _keys(model: type[PackModel]) -> set[str]:
    keys: set[str] = set()
    for name, info in model.model_fields.items():
        keys.add(info.alias or name)
        for part in (info.annotation, *get_args(info.annotation)):
            if isinstance(part, type) and issubclass(part, PackModel):
                keys |= _keys(part)
    return keys


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("questions: [What is it?, Since when?]", "while parsing a flow sequence"),
        (r'patterns: ["\w+"]', "found unknown escape character"),
    ],
)
def test_common_yaml_errors_read_as_the_page_says(written: str, message: str) -> None:
    assert message in PAGE
    with pytest.raises(yaml.YAMLError, match=message):
        yaml.safe_load(written)
