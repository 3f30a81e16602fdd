"""Stage keys do not depend on how the code is laid out: keys recorded earlier are still the keys of the same manifests.

A store answers by key, so a key that changes makes every run compute that stage again. A stage whose results change on
purpose raises its `version`; then its recorded key must follow from that version alone.
"""

from __future__ import annotations

import json
import os
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from learntoask.core.manifest import load_manifest
from learntoask.core.pack import parse_pack
from learntoask.core.stages.graph import STAGES, RunInputs, pack_digests, stage_key

HERE = Path(__file__).parent / "recorded"
ROOT = Path(__file__).resolve().parents[4]
RECORDED = json.loads((HERE / "keys.json").read_text(encoding="utf-8"))
# Stages whose results have changed since the keys were recorded, with the reason.
CHANGED = {
    "prepare": "near-duplicates are found by what few sessions say; messages are cleaned of HTML and of characters "
    "that nobody sees; half an emoji no longer costs its session",
    "label": "patterns and non-answers compare plain texts, so a curly apostrophe or another language is understood; "
    "annotated values that are true, false or numbers are taken as their text",
    "sft": "an expert's answer is learned up to the length of a prompt only; one that asks for nothing needed gives "
    "way to the next question",
    "evaluate": "a report names its models by the digest that a served answer carries; records have all their keys; "
    "repeated questions are measured and avoided in replay; stops by turn; which policy was published",
    "grpo": "the stage publishes which policy it chose, and why",
    "serve": "no question is put twice in the demo conversation",
    "grader": "words, questions and non-answers are recognised in any script, by rules that compare plain texts; a "
    "weak policy's babble is graded 0, by two bounds that are part of a fitted grader; packed texts; requests without "
    "a question mark are learned from the labels, and the agreement says how many expert questions get no grade",
}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_manifest_keeps_its_stage_keys(name: str) -> None:
    spec = load_manifest(HERE / f"{name}.yaml").spec
    files = {role: f"digest of {role}" for role in ("base", "dataset", "test")}
    inputs = RunInputs(pack=RECORDED[name]["pack"], files=files)
    outputs = {stage.name: f"output of {stage.name}" for stage in STAGES}
    then = RECORDED[name]["keys"]
    keys = {
        stage.name: stage_key(
            replace(stage, version=then[stage.name]["version"]), spec=spec, inputs=inputs, outputs=outputs
        )
        for stage in STAGES
        if stage.name in then
    }
    assert keys == {stage: recorded["key"] for stage, recorded in then.items()}


def test_a_version_is_raised_only_where_results_changed() -> None:
    then = {stage: recorded["version"] for stage, recorded in RECORDED["sgd"]["keys"].items()}
    raised = {stage.name for stage in STAGES if stage.name in then and stage.version != then[stage.name]}
    assert raised == set(CHANGED)


def test_the_pharmacy_pack_keeps_its_digests() -> None:
    path = HERE / "pharmacy-pack.yaml"
    assert (
        pack_digests(parse_pack(path.read_text(encoding="utf-8"), where=str(path)))
        == RECORDED["pharmacy"]["pack"]
    )


@pytest.mark.data
def test_the_sgd_pack_keeps_its_digests(tmp_path: Path) -> None:
    data = Path(os.environ.get("LTA_DATA", ROOT.parent / "shared" / "data")) / "sgd"
    if not data.exists():
        pytest.skip(f"no annotated logs in {data}: set LTA_DATA")
    make_pack = runpy.run_path(str(ROOT / "examples" / "sgd" / "make_pack.py"))
    out = tmp_path / "pack.yaml"
    assert make_pack["main"](["--data", str(data), "--out", str(out)]) == 0
    assert (
        pack_digests(parse_pack(out.read_text(encoding="utf-8"), where=str(out))) == RECORDED["sgd"]["pack"]
    )
