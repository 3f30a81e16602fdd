"""`lta review`: a run waits for people, their answers come by page, import or hand, and the report is corrected."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "pharmacy"
SPEC = {
    "dataset": {"uri": str(EXAMPLE / "logs.jsonl"), "maxSessions": 160},
    "pack": {"uri": str(EXAMPLE / "pack.yaml")},
    "label": {"method": "lexicon"},
    "grader": {"encoder": "hashing", "maxMissingShare": 1},
    "calibrate": {"budget": 120, "minKappa": 0.2, "minAnswers": 20, "minRarer": 5},
    "train": {"base": {"uri": "tiny:"}, "sft": {"epochs": 0}, "grpo": {"updates": 0}, "maxNewTokens": 12},
    "evaluate": {"samples": 0, "replay": False, "bootstrap": 100},
}
PATIENCE = 600


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "LTA_HOME": str(home), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def lta(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "learntoask.cli.app", *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def said(home: Path, *arguments: str) -> str:
    done = lta(home, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def manifest(home: Path, name: str, **calibrate: object) -> Path:
    spec = {**SPEC, "calibrate": {**SPEC["calibrate"], **calibrate}}  # type: ignore[dict-item]
    document = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "LearnToAskRun",
        "metadata": {"name": name},
        "spec": spec,
    }
    path = home / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@contextmanager
def process(home: Path, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        command = [sys.executable, "-m", *arguments]
        started = subprocess.Popen(command, env=environment(home), stdout=out, stderr=out)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def until_said(log: Path, pattern: str) -> re.Match[str]:
    deadline = time.monotonic() + PATIENCE
    while not (found := re.search(pattern, log.read_text(errors="replace"))):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return found


def answer_by_gold(home: Path, name: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "gold_reviewers.py"), name, "--errors", "0"],
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests of the module, each of which builds on those before it."""
    return tmp_path_factory.mktemp("review")


def report_of(home: Path, name: str) -> dict[str, object]:
    (report,) = (home / "runs" / name / "inputs").glob("*/report.json")
    found: dict[str, object] = json.loads(report.read_text())
    return found


@pytest.mark.timeout(1500)
def test_a_run_waits_for_people_and_goes_on_by_itself(home: Path) -> None:
    path, log = manifest(home, "clinic"), home / "run.log"
    with process(home, log, "learntoask.cli.app", "run", str(path)) as run:
        missing = int(until_said(log, r"(\d+) of \d+ answers are needed before anything is trained").group(1))
        assert run.poll() is None
        told = said(home, "review", "status", "clinic")
        assert f"0 of {missing} answers" in told
        assert re.search(r"\d+ of them from a second person \(`lta review link clinic NAME`\)", told)
        assert "what a message asks for, to measure" in told
        assert "Reviewing" in said(home, "status", "clinic")
        page = home / "page.log"
        with process(home, page, "learntoask.cli.app", "review", "clinic", "--no-browser"):
            link = until_said(page, r"http://127\.0\.0\.1:\d+/enter\?link=\S+").group(0)
            address = link.partition("/enter")[0]
            with urlopen(f"{address}/healthz", timeout=60) as answer:
                assert answer.status == 200
            links = said(home, "review", "link", "clinic", "ada", "ben").splitlines()
            assert [line.partition("/enter?link=")[0] for line in links] == [
                f"ada\t{address}",
                f"ben\t{address}",
            ]
        ended = lta(home, "review", "link", "clinic", "ada")
        assert ended.returncode == 2
        assert "start it with `lta review clinic`, or give its address with --address" in ended.stderr
        other = lta(home, "review", "link", "clinic", "ada", "--address", "https://review.example.org")
        assert other.stdout.startswith("ada\thttps://review.example.org/enter?link=")
        assert re.search(r"valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC", other.stderr)
        assert f"{missing} of {missing} are there" in answer_by_gold(home, "clinic")
        run.wait(PATIENCE)
        assert run.returncode == 0, log.read_text()
    report = report_of(home, "clinic")
    assert report["calibration"]
    assert report["policies"][0]["corrected"]["WA-GH"]["n"] > 0  # type: ignore[index]


@pytest.mark.timeout(900)
def test_answers_leave_and_come_back_as_a_file(home: Path) -> None:
    out = home / "answers.jsonl"
    said(home, "review", "export", "clinic", "--out", str(out))
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 40
    assert "0 answers are new" in said(home, "review", "import", "clinic", str(out))
    out.write_text("\n".join([*lines, json.dumps({**json.loads(lines[0]), "item": "f" * 64})]))
    refused = lta(home, "review", "import", "clinic", str(out))
    assert refused.returncode == 2
    assert "ffffffffffff" in refused.stderr
    assert len(json.loads(said(home, "review", "export", "clinic", "--format", "label-studio"))) > 20


@pytest.mark.timeout(1500)
def test_a_larger_budget_asks_only_for_what_is_missing(home: Path) -> None:
    path, log = manifest(home, "clinic", budget=150), home / "again.log"
    with process(home, log, "learntoask.cli.app", "run", str(path)):
        missing = int(until_said(log, r"(\d+) of \d+ answers are needed").group(1))
    status = json.loads(said(home, "review", "status", "clinic", "--json"))
    assert status["given"] > 30
    assert status["missing"] == missing < status["needed"]


@pytest.mark.timeout(1500)
def test_a_run_without_people_goes_on_and_its_report_says_so(home: Path) -> None:
    path = manifest(home, "alone", onDeadline="proceed", budget=122)
    done = lta(home, "run", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    notes = " ".join(report_of(home, "alone")["notes"])  # type: ignore[arg-type]
    assert "not calibrated" in notes


@pytest.mark.timeout(900)
def test_labels_that_nobody_has_vouched_for_enough_end_a_run(home: Path) -> None:
    path = manifest(home, "few", budget=124)
    with process(home, home / "few.log", "learntoask.cli.app", "run", str(path)):
        until_said(home / "few.log", r"answers are needed")
        assert "0 of" in said(home, "review", "finish", "few")
    ended = lta(home, "run", str(path))
    assert ended.returncode == 4
    assert "GraderNotCalibrated" in ended.stderr + ended.stdout


@pytest.mark.timeout(300)
def test_a_run_that_asks_nobody_says_so(home: Path) -> None:
    spec = {name: value for name, value in SPEC.items() if name != "calibrate"}
    document = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "LearnToAskRun",
        "metadata": {"name": "plain"},
        "spec": spec,
    }
    (home / "plain.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    refused = lta(home, "review", "status", str(home / "plain.yaml"))
    assert refused.returncode == 2
    assert "calibrate: {}" in refused.stderr
