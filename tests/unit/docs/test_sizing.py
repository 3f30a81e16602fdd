"""The tables of docs/sizing.md are computed from its formulas, and the manifests of examples/scale match them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from learntoask.core.manifest import load_manifest

ROOT = Path(__file__).resolve().parents[3]
SIZING = runpy.run_path(str(ROOT / "tools/generate_sizing.py"))
MANIFESTS = sorted((ROOT / "examples/scale").glob("*.yaml"))


def test_the_tables_are_current() -> None:
    assert SIZING["page"]() == SIZING["PAGE"].read_text(encoding="utf-8"), "run `make docs`"


def test_state_is_sixteen_bytes_a_parameter_that_zero_divides() -> None:
    plan, shape, state = SIZING["Plan"], SIZING["QWEN_7B"], SIZING["state"]
    whole = 16 * shape.parameters
    assert state(plan(shape, 8, zero=0)) == whole
    assert state(plan(shape, 8, zero=1)) == pytest.approx(whole / 2 + whole / 2 / 8)
    assert state(plan(shape, 8, zero=3)) == pytest.approx(whole / 8)


@pytest.mark.parametrize("shape", ["QWEN_7B", "QWEN_32B"])
def test_layers_and_words_make_up_the_parameters(shape: str) -> None:
    found = SIZING[shape]
    assert found.layers * found.layer + 2 * found.words * found.hidden == pytest.approx(
        found.parameters, rel=0.01
    )


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_asks_for_what_its_plan_computes(path: Path) -> None:
    train = load_manifest(path).spec.train
    size, gpus = path.stem.removesuffix("gpu").split("-")
    (plan,) = (
        plan
        for plan in SIZING["PLANS"]
        if plan.rank and plan.shape.name.lower() == size and plan.gpus == int(gpus)
    )
    assert (train.distributed.workers, train.distributed.zero) == (plan.gpus, plan.zero)
    assert train.lora is not None
    assert train.lora.rank == plan.rank
    assert train.row_tokens == SIZING["ROW_TOKENS"]
    assert train.activation_checkpointing


def test_there_is_a_manifest_for_every_size() -> None:
    assert len(MANIFESTS) == 6
