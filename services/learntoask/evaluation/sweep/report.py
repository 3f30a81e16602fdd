"""The runs of a sweep side by side: report.json of a sweep, made from the evaluations of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue
from rich.table import Table

from learntoask.core.errors import InputError
from learntoask.evaluation.compare import compare_tested
from learntoask.evaluation.report_schema import SCHEMA_VERSION, Metrics, ReportModel, read_report
from learntoask.evaluation.stats.bootstrap import Difference

HEADLINE = ("WA-GH", "WS-continue", "WS-stop", "Total")


class VariantReport(ReportModel):
    """A variant, its figures by the reporting grader (greedy decoding), and how it differs from the first variant."""

    name: str
    run: str
    changes: dict[str, JsonValue]
    """Path in the manifest → value."""
    state: Literal["done", "refused", "failed"]
    """`refused`: evaluated, and not let through by its gate."""
    message: str = ""
    under_test: str = ""
    policies: dict[str, Metrics] = Field(default_factory=dict)
    against_first: dict[str, Difference] = Field(default_factory=dict)
    """Policy under test minus that of the first variant, on the same held-out sessions."""
    same_grader: bool = True
    """Whether the grader that reports is the first variant's."""
    notes: list[str] = Field(default_factory=list)

    @property
    def tested(self) -> Metrics:
        return self.policies.get(self.under_test, {})


class CurveReport(ReportModel):
    title: str
    field: str
    points: list[tuple[float, str]]
    """(value of the field, variant that has it), ascending."""


class SweepReport(ReportModel):
    schema_version: int = SCHEMA_VERSION
    name: str
    variants: list[VariantReport]
    curves: list[CurveReport]

    def variant(self, name: str) -> VariantReport:
        return next(variant for variant in self.variants if variant.name == name)

    @property
    def first(self) -> VariantReport | None:
        """What the others are compared with: the first variant that was evaluated."""
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
    """`evaluation` and `first` are folders that the evaluate stage published. What cannot be read is a failure."""
    given = VariantReport(name=name, run=run, changes=_flat(changes), state=state, message=message)
    if evaluation is None:
        return given
    try:
        report = read_report(evaluation)
        found = None if first is None else compare_tested(first, evaluation)
    except InputError as error:
        return given.model_copy(update={"state": "failed", "message": str(error)})
    policies = {policy.name: policy.decodings["greedy"].metrics for policy in report.policies}
    update: dict[str, object] = {
        "under_test": report.under_test,
        "policies": policies,
        "notes": report.notes,
    }
    if found is not None:
        update |= {
            "against_first": {row.metric: row.difference for row in found.rows if row.decoding == "greedy"},
            "same_grader": found.same_grader,
        }
    return given.model_copy(update=update)


def sweep_table(report: SweepReport) -> Table:
    """For a terminal: the policy under test of each variant; a star marks what differs from the first one's."""
    table = Table(title=f"sweep {report.name}: held-out sessions, greedy decoding", title_justify="left")
    for heading in ("variant", "policy"):
        table.add_column(heading)
    for metric in HEADLINE:
        table.add_column(metric, justify="right")
    table.add_column("")
    for variant in report.variants:
        cells = [_cell(variant, metric) for metric in HEADLINE]
        colour = {"done": "green", "refused": "yellow", "failed": "red"}[variant.state]
        word = {"done": "", "refused": "refused by the gate", "failed": "failed"}[variant.state]
        table.add_row(variant.name, variant.under_test, *cells, f"[{colour}]{word}[/]")
    return table


def _cell(variant: VariantReport, metric: str) -> str:
    estimate = variant.tested.get(metric)
    if estimate is None or estimate.value is None:
        return "–"
    found = variant.against_first.get(metric)
    return f"{estimate.value:.3f}{' *' if found and found.significant else '  '}"


def _flat(changes: Mapping[str, JsonValue], path: str = "") -> dict[str, JsonValue]:
    flat: dict[str, JsonValue] = {}
    for name, value in changes.items():
        here = f"{path}.{name}".lstrip(".")
        flat |= _flat(value, here) if isinstance(value, dict) and value else {here: value}
    return flat


def curve_report(title: str, field: str, points: Sequence[tuple[float, str]]) -> CurveReport:
    return CurveReport(title=title, field=field, points=sorted(points))
