"""The files of the pharmacy example are consistent with each other and with their description."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from learntoask.core.manifest import Dataset, load_manifest
from learntoask.core.pack import load_pack
from learntoask.core.prompt import system_prompt
from learntoask.labeling.check import check_file

PHARMACY = Path(__file__).parents[3] / "examples/pharmacy"


@pytest.fixture(scope="module")
def gold() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (PHARMACY / "gold.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def sessions(gold: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return (session of the log, gold) for every well-formed line."""
    lines = (PHARMACY / "logs.jsonl").read_bytes().split(b"\n")
    return [(json.loads(lines[truth["line"] - 1]), truth) for truth in gold if "malformed" not in truth]


def test_generator_reproduces_the_committed_files(tmp_path: Path) -> None:
    generator = [sys.executable, str(PHARMACY / "generate_logs.py"), "--out", str(tmp_path)]
    subprocess.run(generator, check=True, timeout=60)
    for name in ("logs.jsonl", "gold.jsonl"):
        assert (tmp_path / name).read_bytes() == (PHARMACY / name).read_bytes(), (
            f"{name} differs; run generate_logs.py"
        )


def test_another_seed_makes_other_chats(tmp_path: Path) -> None:
    generator = [sys.executable, str(PHARMACY / "generate_logs.py"), "--out", str(tmp_path)]
    subprocess.run([*generator, "--seed", "2", "--sessions", "40"], check=True, timeout=60)
    lines = (tmp_path / "logs.jsonl").read_bytes().split(b"\n")[:-1]
    assert len(lines) == 54
    assert len(set(lines) - set((PHARMACY / "logs.jsonl").read_bytes().split(b"\n"))) > 50


@pytest.mark.parametrize("language", ["ja", "ar"])
def test_the_pack_of_another_language_fits_its_chats(language: str, tmp_path: Path) -> None:
    generator = [sys.executable, str(PHARMACY / "generate_logs.py"), "--language", language]
    subprocess.run([*generator, "--out", str(tmp_path)], check=True, timeout=60)
    report = check_file(
        tmp_path / "logs.jsonl", load_pack(PHARMACY / f"pack.{language}.yaml"), Dataset(uri="logs.jsonl")
    )
    assert report.sessions > 390
    assert report.ends["completed"] > 300
    assert all(field.given > 30 for field in report.coverage)
    assert report.warnings == ()


@pytest.mark.parametrize("name", ["run.yaml", "run-tiny.yaml"])
def test_manifest_names_files_that_are_there(name: str) -> None:
    spec = load_manifest(PHARMACY / name).spec
    assert (PHARMACY / spec.dataset.uri).exists()
    assert (PHARMACY / spec.pack.uri).exists()


def test_pack_prompts_for_its_fields() -> None:
    pack = load_pack(PHARMACY / "pack.yaml")
    prompt = system_prompt(pack, "remedy")
    assert all(field.title in prompt for field in pack.task("remedy").fields)
    assert len(pack.demo) >= 3


def test_a_fifth_of_the_questions_matches_no_pattern(sessions: list[tuple[dict, dict]]) -> None:
    task = load_pack(PHARMACY / "pack.yaml").task("remedy")
    patterns = [re.compile(pattern, re.IGNORECASE) for field in task.fields for pattern in field.patterns]
    questions = [
        "\n".join(message["content"] for message in log["messages"][turn["start"] : turn["end"]])
        for log, truth in sessions
        for turn in truth["turns"]
        if turn["requested"]
    ]
    unmatched = sum(not any(pattern.search(question) for pattern in patterns) for question in questions)
    assert 0.2 <= unmatched / len(questions) <= 0.4


def test_example_questions_match_their_own_field() -> None:
    for field in load_pack(PHARMACY / "pack.yaml").task("remedy").fields:
        for question in field.questions:
            assert any(re.search(pattern, question, re.IGNORECASE) for pattern in field.patterns), question


def test_logs_have_the_variety_of_real_chats(sessions: list[tuple[dict, dict]]) -> None:
    ends = Counter(truth["end"] for _, truth in sessions)
    assert len(sessions) == 400
    assert ends["completed"] > 250
    assert ends["abandoned"] >= 20
    assert ends["handoff"] >= 20
    assert len({log["expert"] for log, _ in sessions}) == 5
    first_asked = Counter(
        truth["turns"][0]["requested"][0] for _, truth in sessions if truth["turns"][0]["requested"]
    )
    assert (
        len([name for name, count in first_asked.items() if count >= 20]) >= 4
    )  # experts ask in different orders
    bursts = sum(turn["end"] - turn["start"] > 1 for _, truth in sessions for turn in truth["turns"])
    assert bursts > 100
    volunteered = sum(_volunteered(truth) for _, truth in sessions)
    in_vain = sum(_asked_in_vain(truth) for _, truth in sessions)
    again = sum(_asked_what_is_known(truth) for _, truth in sessions)
    assert min(volunteered, in_vain, again) > 30
    assert all(log["synthetic"] is True for log, _ in sessions)


def test_gold_follows_its_definition(sessions: list[tuple[dict, dict]]) -> None:
    for log, truth in sessions:
        turns = truth["turns"]
        for index, turn in enumerate(turns):
            assert all(
                message["role"] == "assistant" for message in log["messages"][turn["start"] : turn["end"]]
            )
            later = {name for ahead in turns[index:] for name in ahead["requested"]}
            assert set(turn["remaining"]) <= later
            assert index == 0 or set(turn["remaining"]) <= set(turns[index - 1]["remaining"])
            given = {answer["field"] for answer in truth["answers"] if answer["message"] >= turn["end"]}
            assert set(turn["remaining"]) <= given
        assert all(log["messages"][answer["message"]]["role"] == "user" for answer in truth["answers"])
        if truth["stop_turn"] is not None:
            assert truth["stop_turn"] == len(turns) - 1
            assert not turns[-1]["requested"]


def _volunteered(truth: dict) -> bool:
    """Whether the user gave a value before the expert asked for it."""
    asked = {name: turn["start"] for turn in reversed(truth["turns"]) for name in turn["requested"]}
    return any(
        answer["message"] < asked.get(answer["field"], 10**6)
        for answer in truth["answers"]
        if answer["field"] != "symptom"
    )


def _asked_in_vain(truth: dict) -> bool:
    """Whether a question got no answer although the expert acted in the end."""
    return truth["end"] == "completed" and any(
        not any(answer["field"] == name and answer["message"] >= turn["end"] for answer in truth["answers"])
        for turn in truth["turns"]
        for name in turn["requested"]
    )


def _asked_what_is_known(truth: dict) -> bool:
    return any(
        answer["field"] == name and answer["message"] < turn["start"]
        for turn in truth["turns"]
        for name in turn["requested"]
        for answer in truth["answers"]
    )
