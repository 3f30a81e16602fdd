"""Render report.html from report.json: one file without scripts or external references, so that it works offline.

The template engine escapes all text. A content security policy also forbids scripts and external references.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from learntoask.core.manifest.metric import METRICS
from learntoask.evaluation.report import plots, published
from learntoask.evaluation.report.agreement_table import agreement_table
from learntoask.evaluation.report.people_table import people_table
from learntoask.evaluation.report_schema import (
    EvaluationReport,
    Metrics,
    Pair,
    PolicyReport,
    TrainingCurve,
    read_report,
)
from learntoask.evaluation.stats.metrics import HEADLINE
from learntoask.statistics.bootstrap import Difference, Estimate

TITLES = {"base": "Base", "sft": "SFT", "grpo": "GRPO"}
MEANING = {
    "WA": "mean content grade of the turns where the expert continued to ask: 1 if the policy asks for any item that "
    "is still needed, 0 if it does not or if it stops",
    "WA-share": "WA with the share of the asked items that are still needed as grade, so that asking for many items at "
    "once does not pay",
    "WA-GH": "good hits: share of the turns where the expert continued to ask in which the policy asks for something "
    "that is still needed. Equal to WA with a grader that grades 0 or 1",
    "ask-rate": "share of the turns where the expert continued to ask in which the policy asks a question",
    "WA-given-asked": "WA over the turns in which the policy asked a question",
    "WA-GH-given-asked": "good hits over the turns in which the policy asked: WA-GH = ask-rate × this",
    "WS-continue": "share of the turns where the expert continued to ask in which the policy continues",
    "WS-stop": "share of the turns where the expert stopped in which the policy stops",
    "TA": "share of right decisions, to continue or to stop, over all turns",
    "Format": "1 for one item asked, 0.5 for two, else 0; 1 for an exact stop; 0 for a wrong decision",
    "Total": "all parts in one figure, 0 to 4: TA + 2·(p·WA + (1−p)·WS-stop) + Format, p = share of continue turns",
    "Total-share": "Total with WA-share instead of WA: the reward that training sees with its default weights",
    "missing-share": "share of the answers that the grader could not grade; every other metric leaves them out",
}
_PANELS = ("WA-GH", "WA-GH-given-asked", "WS-continue", "WS-stop", "Format", "Total")
_FOREST = ("WA-GH", "WA-GH-given-asked", "ask-rate", "WS-continue", "WS-stop", "TA", "Format")
_VERDICTS = ("on-time", "too-early", "too-late", "endless")
_Chart = tuple[str, Markup, list[tuple[str, int]]]  # name, SVG, (label, series) of its lines
AXIS_MAX = {"Total": 4.0, "Total-share": 4.0}


def render(report_json: Path, out: Path) -> None:
    """Write the page for the report in `report_json` to `out`. Raises InputError if it is not a report."""
    html = report_page(read_report(report_json))
    with out.open("w", encoding="utf-8") as file:
        file.write(html)
        file.flush()
        os.fsync(file.fileno())


def stylesheet() -> Markup:
    """Return the style sheet that report and sweep pages embed."""
    return Markup(resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8"))


def load_template(package: str, name: str, **filters: Callable[..., str]) -> Template:
    """Return a template of a package; it has the filters of every page and the given ones, and escapes all text."""
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "signed": _signed, "title": policy_title, **filters}
    return environment.get_template(name)


def report_page(report: EvaluationReport) -> str:
    """Return the HTML document."""
    tested = report.policy(report.under_test)
    assert tested is not None, "the report lacks its policy under test"
    return load_template(__package__, "report.html.j2", percent=_percent).render(
        report=report,
        tested=tested,
        style=stylesheet(),
        metrics=METRICS,
        meaning=MEANING,
        tiles=[_tile(report, tested, name) for name in HEADLINE],
        panels=[(name, MEANING[name], _panel(report.policies, name)) for name in _PANELS],
        forests=[(pair, _forest(pair)) for pair in report.pairs if pair.decoding == "greedy"],
        decodings=[
            (decoding, description)
            for decoding, description in (
                ("greedy", "Greedy decoding, as on the server"),
                ("sampled", _describe_sampling(report)),
            )
            if decoding in tested.decodings
        ],
        grouped=_grouped(report.policies),
        calibration=_calibration(report.policies),
        calibrated=_calibrated(report.policies),
        threshold=_threshold(report),
        published_title=published_title(report),
        repeats=_repeats(report.policies),
        verdicts=[(policy, _verdicts(policy)) for policy in report.policies if policy.replay],
        curves=_curves(report.curves),
        agreement=agreement_table(report.grader.agreement),
        people=people_table(report.calibration) if report.calibration else None,
        published=published,
    )


def _tile(report: EvaluationReport, tested: PolicyReport, name: str) -> dict[str, object]:
    change: Difference | None = None
    before = ""
    for pair in report.pairs:
        if pair.after == tested.name and pair.decoding == "greedy":
            change, before = pair.metrics[name], pair.before
    tone = ""
    if change and change.significant and change.value is not None:
        tone = "better" if change.value > 0 else "worse"
    return {
        "name": name,
        "estimate": tested.decodings["greedy"].metrics[name],
        "change": change,
        "before": before,
        "tone": tone,
        "meaning": MEANING[name],
    }


def _panel(policies: Sequence[PolicyReport], name: str) -> Markup:
    rows = [
        _bar(policy_title(policy.name), index, policy.decodings["greedy"].metrics[name])
        for index, policy in enumerate(policies)
    ]
    return plots.bar_chart(
        rows, top=AXIS_MAX.get(name, 1.0), title=f"{name} of each policy, with 95 % intervals"
    )


def _forest(pair: Pair) -> Markup:
    rows = [
        plots.Bar(name, 0, difference.value, difference.low, difference.high)
        for name in _FOREST
        for difference in (pair.metrics[name],)
    ]
    return plots.forest_plot(
        rows, title=f"{policy_title(pair.after)} minus {policy_title(pair.before)}, 95 % intervals"
    )


def _grouped(policies: Sequence[PolicyReport]) -> list[tuple[str, Markup]]:
    """Return one chart per headline metric that compares seen and unseen tasks; empty if one has no sessions."""
    if not all(policy.decodings["greedy"].groups for policy in policies):
        return []
    charts = []
    for name in HEADLINE:
        rows = [
            _bar(
                f"{policy_title(policy.name)} {group}",
                index,
                policy.decodings["greedy"].groups[group].metrics[name],
            )
            for index, policy in enumerate(policies)
            for group in ("seen", "unseen")
        ]
        chart = plots.bar_chart(rows, top=AXIS_MAX.get(name, 1.0), title=f"{name} on seen and unseen tasks")
        charts.append((name, chart))
    return charts


def _calibration(policies: Sequence[PolicyReport]) -> Markup | None:
    series = [
        plots.Line(
            policy_title(policy.name),
            index,
            [(bin.mean, bin.stop_share) for bin in policy.stop_probability.bins],
        )
        for index, policy in enumerate(policies)
        if policy.stop_probability
    ]
    return plots.calibration_plot(series, title="Calibration of the stop probability") if series else None


def _calibrated(policies: Sequence[PolicyReport]) -> Markup | None:
    series = [
        plots.Line(
            policy_title(policy.name),
            index,
            [(bin.mean, bin.stop_share) for bin in policy.stop_probability.calibrated.bins],
        )
        for index, policy in enumerate(policies)
        if policy.stop_probability and policy.stop_probability.calibrated
    ]
    return plots.calibration_plot(series, title="Calibration of the reported probability") if series else None


def _threshold(report: EvaluationReport) -> float | None:
    """Return the probability, as the model gives it, from which the policies stop."""
    if report.stopping:
        return report.stopping.threshold
    train = report.settings.get("train")
    setting = train.get("stopThreshold") if isinstance(train, dict) else None
    return setting if isinstance(setting, float) else None


def published_title(report: EvaluationReport) -> str:
    """Return what the page is about: the published policy, if it is not the one under test."""
    name = policy_title(report.under_test)
    if report.choice is None or report.choice.policy == report.under_test or report.under_test != "grpo":
        return f"the {name} policy"
    return f"the {policy_title(report.choice.policy)} policy, because {name} brought no confirmed gain"


def _repeats(policies: Sequence[PolicyReport]) -> list[tuple[str, str, Metrics]]:
    """Return the shares of repeated questions of each policy, at the decision points and in replayed sessions."""
    return [
        (policy.name, where, found)
        for policy in policies
        for where, found in (
            ("held-out decision points", policy.repeats),
            ("replayed sessions", policy.replay.metrics if policy.replay else {}),
        )
        if "same-text" in found
    ]


def _verdicts(policy: PolicyReport) -> Markup:
    metrics: Metrics = policy.replay.metrics if policy.replay else {}
    shares = [(name, metrics[name].value or 0.0) for name in _VERDICTS]
    return plots.stacked_bar(shares, title=f"How replayed sessions of {policy_title(policy.name)} ended")


def _curves(curves: Sequence[TrainingCurve]) -> list[tuple[str, list[_Chart]]]:
    """Return the charts of each stage, one per figure of its log; training and validation share a chart."""
    stages: dict[str, dict[str, list[TrainingCurve]]] = {}
    for curve in curves:
        figure = curve.name.partition("/")[2] or curve.name
        stages.setdefault(curve.stage, {}).setdefault(figure, []).append(curve)
    return [
        (stage, [_chart(stage, figure, of_figure) for figure, of_figure in figures.items()])
        for stage, figures in stages.items()
    ]


def _chart(stage: str, figure: str, curves: Sequence[TrainingCurve]) -> _Chart:
    series = [
        plots.Line(curve.name.partition("/")[0], index, list(zip(curve.steps, curve.values, strict=True)))
        for index, curve in enumerate(curves, 1)
    ]
    chart = plots.line_chart(series, title=f"{stage}: {figure} against updates")
    return figure, chart, [(line.label, line.series) for line in series]


def _bar(label: str, series: int, estimate: Estimate) -> plots.Bar:
    return plots.Bar(label, series, estimate.value, estimate.low, estimate.high)


def _describe_sampling(report: EvaluationReport) -> str:
    settings = report.settings.get("evaluate")
    if isinstance(settings, dict):
        return f"{settings.get('samples')} samples at temperature {settings.get('temperature')}"
    return "Sampled"


def policy_title(policy: str) -> str:
    return TITLES.get(policy, policy)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
