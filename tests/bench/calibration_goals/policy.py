"""The policy's part of goal 4: how much of the WA-GH that label noise costs comes back by calibration.

Three whole runs on the pharmacy logs train the tiny base: with the labels as they are, with 20 % of them wrong, and
with these calibrated by simulated people. Noise is put into training sessions only, so all are evaluated on the same
labels.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from learntoask.evaluation.report_schema import read_report

from calibration_goals.pipeline import ROOT
from calibration_goals.rows import Options, Row

_WHAT = "WA-GH regained by the policy (tiny base, SFT), reviewers without errors"
_REQUIRED = 0.6
_NOISE = 0.2
_CALIBRATE = {"budget": 150, "revise": [], "minKappa": 0.2}  # the gate is not what is measured here
_EXAMPLE = ROOT / "examples/pharmacy"
_LONGEST = 3600  # seconds of one run


def row(options: Options) -> Row:
    """Return the share of the lost WA-GH that comes back; without `policy` in the options nothing is trained."""
    if not options.policy:
        return Row(goal=4, data="pharmacy", what=_WHAT, reached="not run (--policy)", required="≥ 60 %")
    noise = {"corrupt": {"labelNoise": _NOISE, "seed": options.seed}}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        clean = _wa_gh(home, "clean", {})
        noisy = _wa_gh(home, "noisy", noise)
        calibrated = _wa_gh(home, "calibrated", noise, calibrate=_CALIBRATE)
    lost = clean - noisy
    share = (calibrated - noisy) / lost if lost > 0 else float("nan")
    return Row(
        goal=4,
        data="pharmacy",
        what=_WHAT,
        reached=f"{share:.0%} (WA-GH {clean:.3f}, with noise {noisy:.3f}, calibrated {calibrated:.3f})",
        required="≥ 60 %",
        held=share >= _REQUIRED if lost > 0 else None,
    )


def _wa_gh(home: Path, name: str, dataset: dict[str, Any], **spec: Any) -> float:
    """Run the whole pipeline, with people who answer by the gold file where it asks, and return its greedy WA-GH."""
    manifest = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "LearnToAskRun",
        "metadata": {"name": name},
        "spec": {
            "dataset": {"uri": str(_EXAMPLE / "logs.jsonl"), **dataset},
            "pack": {"uri": str(_EXAMPLE / "pack.yaml")},
            "label": {"method": "lexicon"},
            "grader": {"encoder": "hashing"},
            "train": {
                "base": {"uri": "tiny:"},
                "maxNewTokens": 24,
                "sft": {"epochs": 6, "learningRate": 0.001},
                "grpo": {"updates": 0},
            },
            "evaluate": {"samples": 0, "replay": False, "bootstrap": 200},
            **spec,
        },
    }
    path = home / f"{name}.yaml"
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    environment = {**os.environ, "LTA_HOME": str(home / ".lta")}
    lta = [sys.executable, "-m", "learntoask.cli.app"]
    with subprocess.Popen([*lta, "run", path], env=environment) as run:
        if "calibrate" in spec:
            while run.poll() is None and _fails([*lta, "review", "status", name], environment):
                time.sleep(2)
            people = [sys.executable, str(_EXAMPLE / "gold_reviewers.py"), name, "--errors", "0"]
            subprocess.run(people, env=environment, check=True)
        if run.wait(timeout=_LONGEST):
            raise RuntimeError(f"the run {name} ended with status {run.returncode}")
    (report,) = (home / ".lta/runs" / name / "inputs").glob("*/report.json")
    found = read_report(report)
    policy = found.policy(found.under_test)
    value = policy.decodings["greedy"].metrics["WA-GH"].value if policy is not None else None
    if value is None:
        raise RuntimeError(f"the report of {name} holds no WA-GH")
    return value


def _fails(command: list[str], environment: dict[str, str]) -> bool:
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode != 0
