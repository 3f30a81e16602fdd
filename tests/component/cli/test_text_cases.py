"""Logs in other scripts, with invisible characters or as HTML: `lta data check`, and a whole run with a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from learntoask.client import Client, user
from learntoask.core.pack import load_pack
from learntoask.grading.fluency import fluency_guard
from learntoask.local.view import view
from learntoask.serving.config import read_config, settings_of
from learntoask.serving.process import local_server

CASES = Path(__file__).resolve().parents[2] / "data" / "cases"


def check(logs: Path, pack: Path, *flags: str) -> tuple[int, str]:
    """Exit code and output of `lta data check`, on one line."""
    ended = lta(logs.parent, "data", "check", str(logs), "--pack", str(pack), *flags)
    return ended.returncode, " ".join(ended.stdout.split())


def lta(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "learntoask.cli.app", *arguments],
        cwd=folder,
        env={**os.environ, "LTA_HOME": str(folder / ".lta"), "OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_chinese_logs_are_checked_like_english_ones() -> None:
    code, out = check(CASES / "cjk" / "logs.jsonl", CASES / "cjk" / "pack.yaml")
    assert code == 0
    assert "80 lines, 80 sessions (80 completed, 0 abandoned, 0 handoff)" in out
    assert "the fluency guard refuses 0 of the experts' own 223 labelled questions (0%)" in out
    assert "warning" not in out


def test_invisible_characters_are_as_if_they_were_not_there() -> None:
    case = CASES / "invisible-characters"
    code, out = check(case / "logs.jsonl", case / "pack.yaml")
    assert code == 2  # one message holds nothing else
    assert "9 lines, 8 sessions (8 completed, 0 abandoned, 0 handoff)" in out
    assert "24 decision points: 16 continue, 8 stop, 0 with nothing left to ask" in out
    assert "18 messages hold invisible or unusual characters" in out
    assert "line 8: empty-message: messages[0].content: the message is empty" in out
    assert "match no pattern" not in out


def test_html_is_read_as_its_text_and_counted(tmp_path: Path) -> None:
    source = CASES / "invisible-characters"
    plain = json.loads((source / "logs.jsonl").read_text(encoding="utf-8").splitlines()[0])
    rich = json.loads(json.dumps(plain))
    rich["session_id"] = "html"
    for message in rich["messages"]:
        text = message["content"].replace(" ", "&nbsp;", 1).replace("I ", "<b>I</b> ")
        message["content"] = f"<p>{text}</p><br/>"
    rich["messages"][-1]["content"] = "&lt;p&gt;I booked you in for Friday &amp;amp; that is it.&lt;/p&gt;"
    logs = tmp_path / "logs.jsonl"
    logs.write_text("".join(json.dumps(line) + "\n" for line in (plain, rich)))
    code, out = check(logs, source / "pack.yaml")
    assert code == 0
    assert "2 lines, 2 sessions (2 completed" in out
    assert "6 decision points: 4 continue, 2 stop" in out
    assert "6 messages hold HTML" in out
    assert "refuses 0 of the experts' own 4 labelled questions" in out


def test_a_guard_that_refuses_the_experts_is_told_of_with_examples(tmp_path: Path) -> None:
    pack = tmp_path / "pack.yaml"
    text = (CASES / "cjk" / "pack.yaml").read_text(encoding="utf-8")
    for words, stops in ((6, False), (12, True)):
        pack.write_text(f"{text}\nfluency: {{minWords: {words}}}\n", encoding="utf-8")
        code, out = check(CASES / "cjk" / "logs.jsonl", pack)
        assert code == 0
        assert f"fewer than {words} words (fluency.minWords), as in '" in out
        assert "warning: " in out
        assert ("A run would stop before it trains" in out) == stops
    found = json.loads(check(CASES / "cjk" / "logs.jsonl", pack, "--json")[1])
    assert found["experts"]["refused"]["value"] == 1.0
    assert len(found["experts"]["examples"]) == 3


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cjk") / "cjk"
    shutil.copytree(CASES / "cjk", folder)
    manifest = folder / "run.yaml"
    text = manifest.read_text(encoding="utf-8")
    for given, longer in (
        ("epochs: 6, learningRate: 0.002", "epochs: 14, learningRate: 0.003"),
        ("updates: 2", "updates: 1"),
    ):
        assert given in text
        text = text.replace(given, longer)  # the model is made from scratch and has to learn every character
    manifest.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.timeout(1800)
def test_a_chinese_run_trains_on_grades_that_mean_something(chinese: Path) -> None:
    ended = lta(chinese, "run", "run.yaml", "--json")
    assert ended.returncode == 0, ended.stderr
    summaries: dict[str, Any] = {
        stage["stage"]: stage["summary"] for stage in json.loads(ended.stdout)["stages"]
    }
    agreement = summaries["grader"]["agreement"]
    assert agreement["any_hit"]["value"] > 0.8
    assert agreement["experts"]["refused"]["value"] == 0
    assert all(
        "word for word" in warning for warning in agreement["warnings"]
    )  # its questions are from templates
    assert agreement["refused"]["made"]["value"] >= 0.98


@pytest.mark.timeout(1800)
def test_the_chinese_policy_asks_chinese_users(chinese: Path) -> None:
    """The policy is tiny, so an answer may need repair; the fallback question would mean that no question passes."""
    run = view("zh", home=chinese / ".lta")
    pack = load_pack(chinese / "pack.yaml")
    served = run.output("serve")
    given = {"model": run.output("grpo") / "model", "pack": served / "pack.json", "port": 0}
    config = read_config({}, given, defaults=settings_of(run.sources.spec))
    origins, is_question = [], fluency_guard(pack)
    with local_server(config) as server, Client(server.address, timeout=100) as client:
        for opening in ("您好，我头疼，怎么办", "您好，我牙疼，想买点药", "我流鼻涕"):
            answer = client.decide([user(opening)])
            origins.append(answer.origin)
            assert answer.question is None or is_question(answer.question)
    assert set(origins) <= {"model", "repaired"}


@pytest.mark.timeout(1800)
def test_a_run_stops_when_the_guard_refuses_the_experts(chinese: Path, tmp_path: Path) -> None:
    shutil.copytree(chinese, tmp_path / "run", ignore=shutil.ignore_patterns(".lta"))
    pack = tmp_path / "run" / "pack.yaml"
    pack.write_text(pack.read_text(encoding="utf-8") + "\nfluency: {minWords: 12}\n", encoding="utf-8")
    ended = lta(tmp_path / "run", "run", "run.yaml", "--json")
    assert ended.returncode == 3
    stages = {stage["stage"]: stage for stage in json.loads(ended.stdout)["stages"]}
    assert stages["grader"]["state"] == "Failed"
    assert stages["grpo"]["state"] == "Pending"
    assert "refuses 223 of the experts' own 223" in ended.stderr
    assert "fluency.minWords" in ended.stderr
