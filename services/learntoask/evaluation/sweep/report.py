"""The report.json of a sweep, which compares the evaluations of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue
from rich.table import Table

from learntoask.core.errors import InputError
from learntoask.evaluation.compare import compare_policies_under_test
from learntoask.evaluation.report_schema import SCHEMA_VERSION, Metrics, ReportModel, read_report
from learntoask.evaluation.stats.metrics import HEADLINE
from learntoask.evaluation.sweep.seeds import SeedSummary
from learntoask.statistics.bootstrap import Difference
from learntoask.statistics.seeds import SeedDifference


class VariantReport(ReportModel):
    """A variant with its figures (reporting grader, greedy decoding) and their differences from the first variant."""

    name: str
    run: str
    changes: dict[str, JsonValue]
    """Path in the manifest → value."""
    state: Literal["done", "refused", "failed"]
    """`refused` means that the variant was evaluated and its gate refused the policy."""
    message: str = ""
    under_test: str = ""
    policies: dict[str, Metrics] = Field(default_factory=dict)
    against_first: dict[str, Difference] = Field(default_factory=dict)
    """Figures of the policy under test minus those of the first variant, paired by held-out session."""
    same_grader: bool = True
    """Whether the first variant was graded by the same reporting grader."""
    notes: list[str] = Field(default_factory=list)

    @property
    def tested(self) -> Metrics:
        return self.policies.get(self.under_test, {})


class CurveReport(ReportModel):
    """A manifest field and the variants that give it different values."""

    title: str
    field: str
    points: list[tuple[float, str]]
    """(value of the field, name of the variant), ascending."""


class SweepReport(ReportModel):
    schema_version: int = SCHEMA_VERSION
    name: str
    variants: list[VariantReport]
    """One for each run."""
    curves: list[CurveReport]
    seeds: list[SeedSummary] = Field(default_factory=list)
    """One for each variant, if its runs differ in their seed."""

    def variant(self, name: str) -> VariantReport:
        return next(variant for variant in self.variants if variant.name == name)

    @property
    def first(self) -> VariantReport | None:
        """The first variant that was evaluated; the others are compared with it."""
        return next((variant for variant in self.variants if variant.policies), None)


def variant_report(
    *,
    name: str,
    run: str,
    changes: Mapping[str, JsonValue],
    state: Literal["done", "refused", "failed"],
    message: str,
    evaluation: Path | None,
    first: Path | None,
) -> VariantReport:
    """Return the report of a variant, compared with the first variant.

    `evaluation` and `first` are outputs of the evaluate stage. If one cannot be read, the state is `failed`.
    """
    variant = VariantReport(name=name, run=run, changes=_flatten(changes), state=state, message=message)
    if evaluation is None:
        return variant
    try:
        report = read_report(evaluation)
        comparison = None if first is None else compare_policies_under_test(first, evaluation)
    except InputError as error:
        return variant.model_copy(update={"state": "failed", "message": str(error)})
    policies = {policy.name: policy.decodings["greedy"].metrics for policy in report.policies}
    update: dict[str, object] = {
        "under_test": report.under_test,
        "policies": policies,
        "notes": report.notes,
    }
    if comparison is not None:
        update |= {
            "against_first": {
                row.metric: row.difference for row in comparison.rows if row.decoding == "greedy"
            },
            "same_grader": comparison.same_grader,
        }
    return variant.model_copy(update=update)


def sweep_table(report: SweepReport) -> Table:
    """Return a terminal table of the policies under test; a star marks a significant difference from the first."""
    table = Table(title=f"sweep {report.name}: held-out sessions, greedy decoding", title_justify="left")
    for heading in ("variant", "policy"):
        table.add_column(heading)
    for metric in HEADLINE:
        table.add_column(metric, justify="right")
    table.add_column("")
    for variant in report.variants:
        cells = [_cell(variant, metric) for metric in HEADLINE]
        colour = {"done": "green", "refused": "yellow", "failed": "red"}[variant.state]
        note = {"done": "", "refused": "refused by the gate", "failed": "failed"}[variant.state]
        table.add_row(variant.name, variant.under_test, *cells, f"[{colour}]{note}[/]")
    return table


def seeds_table(report: SweepReport) -> Table:
    """Return a terminal table of means over seeds; a star marks a difference from the first variant that is
    significant over sessions and seeds."""
    table = Table(title=f"sweep {report.name}: mean ± spread over seeds", title_justify="left")
    for heading in ("variant", "policy", "seeds"):
        table.add_column(heading)
    for metric in HEADLINE:
        table.add_column(metric, justify="right")
    table.add_column("WA-GH above SFT", justify="right")
    for summary in report.seeds:
        cells = [_seed_cell(summary, metric) for metric in HEADLINE]
        failed = f" ({len(summary.missing)} failed)" if summary.missing else ""
        table.add_row(
            summary.name,
            summary.under_test or "–",
            f"{len(summary.seeds)}{failed}",
            *cells,
            _gain(summary.gain.get("WA-GH")),
        )
    return table


def _seed_cell(summary: SeedSummary, metric: str) -> str:
    mean = summary.means.get(summary.under_test, {}).get(metric)
    if mean is None:
        return "–"
    difference = summary.against_first.get(metric)
    spread = "" if mean.spread is None else f" ± {mean.spread:.3f}"
    return f"{mean.value:.3f}{spread}{' *' if difference and difference.significant else '  '}"


def _gain(difference: SeedDifference | None) -> str:
    if difference is None or difference.low is None:
        return "–"
    star = " *" if difference.significant else "  "
    return f"{difference.value:+.3f} ({difference.low:+.3f} … {difference.high:+.3f}){star}"


def _cell(variant: VariantReport, metric: str) -> str:
    estimate = variant.tested.get(metric)
    if estimate is None or estimate.value is None:
        return "–"
    difference = variant.against_first.get(metric)
    return f"{estimate.value:.3f}{' *' if difference and difference.significant else '  '}"


def _flatten(changes: Mapping[str, JsonValue], path: str = "") -> dict[str, JsonValue]:
    flat: dict[str, JsonValue] = {}
    for name, value in changes.items():
        here = f"{path}.{name}".lstrip(".")
        flat |= _flatten(value, here) if isinstance(value, dict) and value else {here: value}
    return flat


def curve_report(title: str, field: str, points: Sequence[tuple[float, str]]) -> CurveReport:
    return CurveReport(title=title, field=field, points=sorted(points))
