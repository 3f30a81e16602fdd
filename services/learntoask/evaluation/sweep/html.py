"""Render the page of a sweep: one file without scripts or external references, in the style of a run's report."""

from __future__ import annotations

import json
from collections.abc import Sequence

from markupsafe import Markup

from learntoask.evaluation.report import plots
from learntoask.evaluation.report.html import AXIS_MAX, MEANING, TITLES, load_template, stylesheet
from learntoask.evaluation.stats.metrics import HEADLINE
from learntoask.evaluation.sweep.report import CurveReport, SweepReport

_POLICIES = ("base", "sft", "grpo")


def sweep_page(report: SweepReport) -> str:
    """Return the HTML document."""
    return load_template(__package__, "sweep.html.j2", json=json.dumps).render(
        report=report,
        style=stylesheet(),
        headline=HEADLINE,
        meaning=MEANING,
        panels=_panels(report),
        curves=[(curve, _curve_charts(report, curve)) for curve in report.curves],
        series=[(TITLES[name], index) for index, name in enumerate(_POLICIES)],
    )


def _panels(report: SweepReport) -> list[tuple[str, Markup]]:
    """Return one chart per headline metric with the policy under test of every variant that is not on a curve."""
    on_curves = {name for curve in report.curves for _, name in curve.points}
    shown = [variant for variant in report.variants if variant.policies and variant.name not in on_curves]
    if not shown:
        return []
    return [
        (
            metric,
            plots.bar_chart(
                [
                    plots.Bar(
                        variant.name,
                        _POLICIES.index(variant.under_test),
                        estimate.value,
                        estimate.low,
                        estimate.high,
                    )
                    for variant in shown
                    for estimate in (variant.tested[metric],)
                ],
                top=AXIS_MAX.get(metric, 1.0),
                title=f"{metric} of each variant, with 95 % intervals",
            ),
        )
        for metric in HEADLINE
    ]


def _curve_charts(report: SweepReport, curve: CurveReport) -> list[tuple[str, Markup]]:
    """Return one chart per headline metric that plots every policy against the values of the curve's field."""
    variants = [(value, report.variant(name)) for value, name in curve.points]
    charts = []
    for metric in HEADLINE:
        series: list[plots.MeasuredSeries] = []
        for index, policy in enumerate(_POLICIES):
            points: Sequence[plots.Point] = [
                plots.Point(value, estimate.value, estimate.low, estimate.high)
                for value, variant in variants
                if policy in variant.policies
                for estimate in (variant.policies[policy][metric],)
                if estimate.value is not None
            ]
            if points:
                series.append(plots.MeasuredSeries(TITLES[policy], index, points))
        title = f"{metric} against {curve.title}, with 95 % intervals"
        charts.append((metric, plots.measurement_chart(series, top=AXIS_MAX.get(metric, 1.0), title=title)))
    return charts
