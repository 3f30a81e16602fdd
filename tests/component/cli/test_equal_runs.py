"""Two equal runs at once in one home folder: each output is computed once, even if a run is killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from learntoask.runner.run_folder import RunFolder

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "pharmacy"
RUN = f"""
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {{name: NAME}}
spec:
  dataset: {{uri: {EXAMPLE / "logs.jsonl"}, maxSessions: 60}}
  pack: {{uri: {EXAMPLE / "pack.yaml"}}}
  label: {{method: lexicon}}
  grader: {{encoder: hashing, maxMissingShare: 1}}
  train:
    base: {{uri: "tiny:"}}
    maxNewTokens: 32
    sft: {{epochs: 1}}
"""
NAMES = ("one", "two")
SECONDS = 300


@contextmanager
def running(folder: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Both runs, as processes whose output is in NAME.log."""
    processes = {}
    try:
        for name in NAMES:
            (folder / f"{name}.yaml").write_text(RUN.replace("NAME", name))
            with (folder / f"{name}.log").open("wb") as log:
                command = [sys.executable, "-m", "learntoask.cli.app", "run", f"{name}.yaml"]
                processes[name] = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def until(condition: Callable[[], bool], words: Callable[[], str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, words()
        time.sleep(0.05)


def state_of(folder: Path, name: str, stage: str) -> str:
    state = RunFolder(folder / ".lta", name).read()
    return state.stages[stage].state if state and stage in state.stages else ""


def owner_of(folder: Path, stage: str) -> str:
    """The run that computes `stage`, as soon as one does."""
    owners: list[str] = []

    def owned() -> bool:
        owners.extend(name for name in NAMES if state_of(folder, name, stage) == "running")
        return bool(owners)

    until(owned, (folder / "one.log").read_text)
    return owners[0]


def computed(folder: Path) -> dict[str, list[str]]:
    """The runs that computed each stage, by the logs of its attempts."""
    found: dict[str, list[str]] = {}
    for log in sorted((folder / ".lta" / "runs").glob("*/logs/*.log")):
        found.setdefault(log.name.rpartition("-")[0], []).append(log.parent.parent.name)
    return found


@pytest.mark.timeout(900)
def test_every_stage_is_computed_by_one_of_two_runs_and_taken_over_from_a_killed_one(tmp_path: Path) -> None:
    with running(tmp_path) as processes:
        killed = owner_of(tmp_path, "sft")
        (left,) = set(NAMES) - {killed}
        words = (tmp_path / f"{left}.log").read_text
        until(lambda: "sft       another run computes the same output" in words(), words)
        processes[killed].send_signal(signal.SIGKILL)
        until(lambda: state_of(tmp_path, left, "sft") == "published", words)
        processes[left].send_signal(signal.SIGTERM)
        processes[left].wait(60)
    stages = computed(tmp_path)
    assert sorted(stages["sft"]) == ["one", "two"]
    before = ("fetch", "prepare", "label", "grader")
    assert {stage: len(stages[stage]) for stage in before} == dict.fromkeys(before, 1)
    left_over = [path.name for path in (tmp_path / ".lta" / "locks").iterdir()]
    assert left_over == [], "a lock goes with its stage"
