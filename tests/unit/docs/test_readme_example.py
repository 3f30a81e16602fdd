"""The worked example of the README is true: its log line, its manifest, and every `lta` command on any page."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from learntoask.cli.app import app
from learntoask.core.manifest import Dataset, parse_manifest
from learntoask.core.pack import load_pack
from learntoask.labeling.check import check_file

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACK = ROOT / "examples" / "pharmacy" / "pack.yaml"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _block(language: str, containing: str) -> str:
    return next(text for name, text in BLOCKS if name == language and containing in text)


def test_the_log_line_has_the_labels_that_the_readme_says(tmp_path: Path) -> None:
    logs = tmp_path / "logs.jsonl"
    logs.write_text(json.dumps(json.loads(_block("json", "session_id"))) + "\n", encoding="utf-8")
    report = check_file(logs, load_pack(PACK), Dataset(uri="logs.jsonl"))
    assert (report.quarantined, report.decision_points) == ({}, 3)
    assert (report.continue_samples, report.stop_samples) == (2, 1)
    asked = {found.field for found in report.coverage if found.asked}
    assert asked == {"duration", "age"}


def test_the_part_of_the_pack_is_in_the_pack() -> None:
    assert _block("yaml", "- name: duration").rstrip() in PACK.read_text(encoding="utf-8")


def test_the_manifest_is_valid() -> None:
    assert parse_manifest(_block("yaml", "LearnToAskRun"), where="README.md").metadata.name == "pharmacy"


def test_the_python_example_is_valid_and_names_a_task_of_the_pack() -> None:
    code = _block("python", "learntoask.client")
    compile(code, "README.md", "exec")
    assert re.findall(r'task="(\w+)"', code) == [task.name for task in load_pack(PACK).tasks]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_lta_command_of_a_page_exists_with_its_flags(page: Path) -> None:
    fenced = re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "\n".join(fenced).replace("\\\n", " ").splitlines()
    for line in lines:
        for command in line.split(";"):
            if command.strip().startswith("lta "):
                _check(shlex.split(command, comments=True)[1:])


def _check(words: list[str]) -> None:
    found: click.Command | None = app
    while isinstance(found, click.Group):
        name = words.pop(0)
        found = found.get_command(click.Context(found), name)
        assert found is not None, f"lta has no command {name}"
    known = {flag for parameter in found.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    flags = {word.split("=")[0] for word in words if word.startswith("-")}
    assert flags <= {*known, "--help"}, f"lta {found.name} has no {flags - known}"
