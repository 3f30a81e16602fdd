"""The whole loop with a tiny model, as a user runs it, killed on the way and run again."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from learntoask.client import Client, user
from learntoask.core.digest import digest_of
from learntoask.local.view import view
from learntoask.runner.run_folder import RunFolder
from learntoask.serving.config import read_config, settings_of
from learntoask.serving.process import local_server

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "pharmacy"
RUN = f"""
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {{name: loop}}
spec:
  dataset: {{uri: {EXAMPLE / "logs.jsonl"}, maxSessions: 60}}
  pack: {{uri: {EXAMPLE / "pack.yaml"}}}
  label: {{method: lexicon}}
  grader: {{encoder: hashing, maxMissingShare: 1}}
  train:
    base: {{uri: "tiny:"}}
    maxNewTokens: 32
    checkpointEvery: 1
    sft: {{epochs: 6, learningRate: 0.003}}
    grpo: {{updates: 2, batchSessions: 2, groupSize: 2}}
  evaluate: {{samples: 1, maxSessions: 4, bootstrap: 100}}
"""
COMMAND = [sys.executable, "-m", "learntoask.cli.app"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    (folder / "run.yaml").write_text(RUN)
    return folder


def lta(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )


def killed_in(folder: Path, stage: str, *, after: float) -> None:
    """Start the run and kill it without warning `after` seconds into `stage`."""
    with (folder / "killed.log").open("ab") as log:
        running = subprocess.Popen([*COMMAND, "run", "run.yaml"], cwd=folder, stdout=log, stderr=log)
    run = RunFolder(folder / ".lta", "loop")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and running.poll() is None:
        state = run.read()
        if state and stage in state.stages and state.stages[stage].state == "running":
            break
        time.sleep(0.1)
    assert running.poll() is None, (folder / "killed.log").read_text()
    time.sleep(after)
    running.send_signal(signal.SIGKILL)
    running.wait()


@pytest.mark.timeout(1200)
def test_a_run_killed_at_random_points_ends_as_if_it_had_not_been(folder: Path) -> None:
    chance = random.Random(0)
    for stage in ("fetch", "sft", "grpo"):
        killed_in(folder, stage, after=chance.uniform(0, 5))
    ended = lta(folder, "run", "run.yaml", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["outcome"] == "Succeeded"
    assert {stage["state"] for stage in found["stages"]} == {"Published"}
    stages = {stage["stage"]: stage for stage in found["stages"]}
    assert stages["prepare"]["summary"]["quarantined"] > 0
    assert stages["evaluate"]["inputs"]["grpo"] == stages["grpo"]["output"]
    assert set(stages["evaluate"]["summary"]["headline"]) == {"base", "sft", "grpo"}
    reinforced = stages["grpo"]["summary"]
    assert 0 < reinforced["kept_sessions"] < reinforced["sessions"]  # it learns from those of SFT too


def test_a_second_run_computes_nothing_and_says_so(folder: Path) -> None:
    before = time.monotonic()
    ended = lta(folder, "run", "run.yaml")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("unchanged, taken from the store") == 9
    assert "started" not in ended.stdout
    assert "Report:" in ended.stdout
    assert time.monotonic() - before < 60


def test_what_people_look_at_is_there(folder: Path) -> None:
    status = json.loads(lta(folder, "status", "loop", "--json").stdout)
    assert status["outcome"] == "Succeeded"
    report = lta(folder, "report", "loop", "--out", "page.html")
    assert report.returncode == 0, report.stderr
    page = (folder / "page.html").read_text()
    assert "<svg" in page
    assert not re.search(r"""(src|href)=["']https?:""", page)  # works offline
    same = json.loads(lta(folder, "compare", "loop", "loop", "--json").stdout)
    assert {row["difference"]["value"] for row in same["rows"]} <= {0, None}


def test_report_lineage_and_served_answers_name_the_model_by_one_digest(folder: Path) -> None:
    run = view("loop", home=folder / ".lta")
    report = json.loads((run.output("evaluate") / "report.json").read_text())
    reported = {policy["name"]: policy["model"] for policy in report["policies"]}
    for name, stage in {"base": "fetch", "sft": "sft", "grpo": "grpo"}.items():
        files = {file.path: file.digest for file in run.publications[stage].files}
        published = {
            path.removeprefix("model/"): digest for path, digest in files.items() if path.startswith("model/")
        }
        assert reported[name] == digest_of(published)
    given = {"model": run.output("grpo") / "model", "pack": run.output("serve") / "pack.json", "port": 0}
    config = read_config({}, given, defaults=settings_of(run.sources.spec))
    with local_server(config) as server, Client(server.address, timeout=100) as client:
        assert client.decide([user("hello")]).policy_revision == reported["grpo"]
    assert run.publications["serve"].summary["revision"] == reported["grpo"]


def test_any_model_folder_is_evaluated_as_the_run_evaluated_its_own(folder: Path) -> None:
    run = view("loop", home=folder / ".lta")
    model = run.output("sft") / "model"
    ended = lta(folder, "evaluate", "loop", "--model", str(model), "--out", "again", "--json")
    assert ended.returncode == 0, ended.stderr
    again = json.loads((folder / "again" / "report.json").read_text())["policies"]
    first = json.loads((run.output("evaluate") / "report.json").read_text())["policies"]
    sft = next(policy for policy in first if policy["name"] == "sft")
    assert [policy["model"] for policy in again] == [sft["model"]]
    assert again[0]["decodings"]["greedy"]["metrics"] == sft["decodings"]["greedy"]["metrics"]
    assert json.loads(ended.stdout)["model"]


def test_a_gate_that_refuses_serves_nothing_and_says_why(folder: Path) -> None:
    (folder / "strict.yaml").write_text(RUN + "  gate: {thresholds: [{metric: Total, min: 4}]}\n")
    ended = lta(folder, "run", "strict.yaml")
    assert ended.returncode == 4
    assert "Total is" in ended.stderr.replace("\n", " ")
    refused = lta(folder, "serve", "strict.yaml")
    assert refused.returncode == 2
    assert "no policy to serve" in refused.stderr


def test_only_one_process_runs_a_run(folder: Path) -> None:
    first = subprocess.Popen(
        [*COMMAND, "run", "run.yaml", "--from", "prepare"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        run = RunFolder(folder / ".lta", "loop")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and first.poll() is None and not run.active:
            time.sleep(0.1)
        second = lta(folder, "run", "run.yaml")
        assert second.returncode == 2
        assert "already being run" in second.stderr
    finally:
        first.send_signal(signal.SIGTERM)
        first.wait(60)
