"""`lta sweep` as a user runs it: shared stages once, failures shown, one report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from learntoask.local.view import view

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "pharmacy"
RUN = f"""
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {{name: base}}
spec:
  attempts: 1
  dataset: {{uri: {EXAMPLE / "logs.jsonl"}, maxSessions: 60}}
  pack: {{uri: {EXAMPLE / "pack.yaml"}}}
  grader: {{encoder: hashing, maxMissingShare: 1}}
  train:
    base: {{uri: "tiny:"}}
    maxNewTokens: 32
    sft: {{epochs: 6, learningRate: 0.003}}
    grpo: {{updates: 1, batchSessions: 2, groupSize: 2}}
  evaluate: {{samples: 0, maxSessions: 4, bootstrap: 100, replay: false}}
"""
SWEEP = """
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskSweep
metadata: {name: methods}
spec:
  base: run.yaml
  variants:
    - {name: grpo}
    - {name: dpo, spec: {train: {method: dpo}}}
    - {name: lost, spec: {train: {grpo: {maxKl: 1.0e-12, stepsPerBatch: 2}}}}
  curves:
    - {field: dataset.corrupt.sloppy, values: [0, 1]}
"""


@pytest.mark.timeout(1700)
def test_a_sweep_computes_what_is_shared_once_and_goes_on_after_a_failure(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    command = [sys.executable, "-m", "learntoask.cli.app", "sweep", "sweep.yaml"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1600, check=False)
    assert ended.returncode == 3, ended.stderr
    assert "1 of 5 variants failed: lost" in ended.stderr
    runs = tmp_path / ".lta" / "runs"

    def computed(run: str) -> set[str]:
        return {path.name.split("-")[0] for path in (runs / f"methods-{run}" / "logs").glob("*.log")}

    assert {"fetch", "prepare", "label", "grader", "sft", "grpo", "evaluate"} <= computed("grpo")
    assert computed("dpo") == {"grpo", "evaluate", "gate", "serve"}
    assert computed("lost") == {"grpo"}
    assert computed("sloppy-0") == set()  # it is the first one
    assert computed("sloppy-1") == {"sft", "grpo", "evaluate", "gate", "serve"}
    out = tmp_path / ".lta" / "sweeps" / "methods"
    report = json.loads((out / "report.json").read_text())
    variants = {variant["name"]: variant for variant in report["variants"]}
    assert variants["lost"]["state"] == "failed"
    assert "ExplodingKL" in variants["lost"]["message"] or "KL" in variants["lost"]["message"]
    assert variants["dpo"]["policies"]["sft"] == variants["grpo"]["policies"]["sft"]
    assert _models(tmp_path, "dpo")["sft"] == _models(tmp_path, "grpo")["sft"]
    assert _models(tmp_path, "sloppy-1")["sft"] != _models(tmp_path, "grpo")["sft"]
    assert all(variant["same_grader"] for variant in variants.values())
    assert any("careless experts" in note for note in variants["sloppy-1"]["notes"])
    page = (out / "report.html").read_text()
    assert "dataset.corrupt.sloppy" in page
    # Started again it has only the failed one to do.
    again = subprocess.run(
        [*command, "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert again.returncode == 3, again.stderr
    assert again.stderr.count(" started") == 1
    assert json.loads(again.stdout)["variants"][1] == variants["dpo"]


SEEDS = """
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskSweep
metadata: {name: seeds}
spec:
  base: run.yaml
  seeds: [0, 1]
  spec: {train: {grpo: {updates: 0}, sft: {epochs: 1}}, evaluate: {base: false}}
  variants: [{name: plain}]
"""


@pytest.mark.timeout(1700)
def test_a_sweep_trains_with_every_seed_and_says_how_far_the_runs_agree(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN)
    (tmp_path / "sweep.yaml").write_text(SEEDS)
    command = [sys.executable, "-m", "learntoask.cli.app", "sweep", "sweep.yaml"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1600, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "mean ± spread over seeds" in ended.stdout
    report = json.loads((tmp_path / ".lta/sweeps/seeds/report.json").read_text())
    runs = {variant["name"]: variant for variant in report["variants"]}
    assert [*runs] == ["plain-seed-0", "plain-seed-1"]
    (plain,) = report["seeds"]
    assert (plain["name"], plain["seeds"], plain["missing"]) == ("plain", [0, 1], [])
    values = [run["policies"]["sft"]["Total"]["value"] for run in runs.values()]
    assert plain["means"]["sft"]["Total"]["value"] == pytest.approx(sum(values) / 2)
    first, second = (_models(tmp_path, f"plain-seed-{seed}", sweep="seeds") for seed in (0, 1))
    assert [*first] == [*second] == ["sft"]  # the base model is not evaluated
    assert first != second


def _models(folder: Path, variant: str, *, sweep: str = "methods") -> dict[str, str]:
    """Return the digest of each evaluated policy. Figures of tiny policies may be equal by chance, digests not."""
    evaluation = view(f"{sweep}-{variant}", home=folder / ".lta").output("evaluate")
    report = json.loads((evaluation / "report.json").read_text())
    return {policy["name"]: policy["model"] for policy in report["policies"]}
