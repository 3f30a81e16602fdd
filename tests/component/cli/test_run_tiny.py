"""`make run-tiny` ends with a report, on any machine: its policy says other nonsense with other seeds and threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

MANIFEST = Path(__file__).resolve().parents[3] / "examples" / "pharmacy" / "run-tiny.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all runs, so that logs, labels and graders are computed once."""
    return tmp_path_factory.mktemp("tiny")


def manifest(folder: Path, seed: int) -> Path:
    """The example itself, or the same with another seed and a policy that says what it finds missing."""
    if seed == 0:
        return MANIFEST
    document = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    document["metadata"]["name"] += f"-{seed}"
    document["spec"]["train"] |= {
        "seed": seed,
        "assessment": "fields",
        "reward": {"assessmentWeight": 0.5},
        "maxNewTokens": 48,
    }
    for part in ("dataset", "pack"):
        document["spec"][part]["uri"] = str(MANIFEST.parent / document["spec"][part]["uri"])
    path = folder / f"seed-{seed}.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def lta(folder: Path, *arguments: str, threads: int) -> subprocess.CompletedProcess[str]:
    # Threads that wait do not spin, which on a busy machine costs more than the work itself.
    settings = {"LTA_HOME": str(folder), "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(
        [sys.executable, "-m", "learntoask.cli.app", *arguments],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("seed", "threads"),
    [(0, 1), (1, 2), *(pytest.param(*other, marks=pytest.mark.slow) for other in ((0, 2), (1, 1)))],
)
def test_run_tiny_ends_with_a_report(folder: Path, seed: int, threads: int) -> None:
    # From SFT on, since what is before it has no arithmetic that another number of threads changes.
    ended = lta(folder, "run", str(manifest(folder, seed)), "--from", "sft", "--json", threads=threads)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["outcome"] == "Succeeded"
    assert {stage["state"] for stage in found["stages"]} == {"Published"}
    stages = {stage["stage"]: stage["summary"] for stage in found["stages"]}
    assert set(stages["evaluate"]["headline"]) == {"base", "sft", "grpo"}
    shown = lta(folder, "report", found["run"], "--out", "report.html", threads=threads)
    assert shown.returncode == 0, shown.stderr
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert ("What the policy finds missing" in page) == (seed != 0)
