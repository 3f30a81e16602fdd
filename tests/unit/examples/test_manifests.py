"""Every manifest in examples/ is planned to its last stage and rendered, even if it is too big to train in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from learntoask.core.manifest import RunSpec, load_manifest
from learntoask.core.stages.graph import PackPart, RunInputs, stages_of
from learntoask.core.stages.planner import Start, plan
from learntoask.core.status.run import RunInputsRecord
from learntoask.local.sweeps import load_sweep, write_members
from learntoask_operator.run.render import jobs
from learntoask_operator.run.stage_records import RecordedPublication
from learntoask_operator.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PACK: dict[PackPart, str] = {
    part: part for part in ("logs", "labelling", "policy", "grading", "judging", "whole")
}
FILES = {"dataset": "logs", "test": "test logs", "base": "base"}
RUN: dict[str, Any] = {
    "apiVersion": "learntoask.io/v1alpha1",
    "kind": "LearnToAskRun",
    "metadata": {"name": "example", "namespace": "team", "uid": "u"},
}


def of_kind(kind: str) -> list[Path]:
    paths = sorted(EXAMPLES.rglob("*.yaml"))
    return [path for path in paths if yaml.safe_load(path.read_text(encoding="utf-8")).get("kind") == kind]


def name(path: Path) -> str:
    return str(path.relative_to(EXAMPLES))


def rendered(spec: RunSpec) -> dict[str, dict[str, Any]]:
    """Return the Jobs of all stages in the order in which the planner starts them; each stage publishes at once."""
    inputs, known = RunInputs(pack=PACK, files=FILES), {}
    made: dict[str, dict[str, Any]] = {}
    while True:
        planned = plan(spec=spec, inputs=inputs, published=known, observed={}, now=0.0)
        starts = [action for action in planned.actions if isinstance(action, Start)]
        asked = [stage for stage in planned.stages if stage.state == "Reviewing" and stage.key]
        if not starts and not asked:
            return made
        for stage in asked:
            known[stage.key] = RecordedPublication(key=stage.key, output=stage.name, summary={})
        for start in starts:
            made[start.stage] = jobs.job(
                RUN,
                spec,
                start,
                inputs=RunInputsRecord(pack=PACK, files=FILES),
                published=known,
                configuration="example-config",
                settings=Settings(store_uri="s3://artefacts/lta"),
            )
            known[start.key] = RecordedPublication(key=start.key, output=start.stage, summary={})


def check(spec: RunSpec) -> None:
    made = rendered(spec)
    assert set(made) == {stage.name for stage in stages_of(spec) if not stage.by_people}
    workers = made["sft"]["spec"].get("completions", 1)
    assert workers == made["grpo"]["spec"].get("completions", 1) == spec.train.distributed.workers


@pytest.mark.parametrize("path", of_kind("LearnToAskRun"), ids=name)
def test_a_run_is_planned_to_its_end_and_every_stage_is_rendered(path: Path) -> None:
    spec = load_manifest(path).spec
    check(spec)
    if path.parent.name not in (
        "sgd",
        "star",
    ):  # their logs are not in the repository, and converters make their packs
        assert (path.parent / spec.dataset.uri).is_file()
        assert (path.parent / spec.pack.uri).is_file()


@pytest.mark.parametrize("path", of_kind("LearnToAskSweep"), ids=name)
def test_every_variant_of_a_sweep_is_planned_and_rendered(path: Path, tmp_path: Path) -> None:
    for member in write_members(load_sweep(path), path=path, folder=tmp_path):
        check(load_manifest(member.manifest).spec)


def test_all_manifests_are_found() -> None:
    assert [name(path) for path in of_kind("LearnToAskSweep")] == [
        "pharmacy/sweep.yaml",
        "sgd/robustness.yaml",
        "sgd/seeds.yaml",
        "sgd/sessions.yaml",
        "sgd/targets.yaml",
        "star/targets.yaml",
    ]
    assert len(of_kind("LearnToAskRun")) == 11
