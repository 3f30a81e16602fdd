"""report.html from report.json: one file without scripts or outside references, so that it works offline and for ever.

All text is escaped by the template engine; a content security policy forbids whatever might slip through.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from learntoask.core.manifest.metric import METRICS
from learntoask.evaluation.report import plots, published
from learntoask.evaluation.report.agreement_table import agreement_table
from learntoask.evaluation.report_schema import Curve, Metrics, Pair, PolicyReport, Report, read_report
from learntoask.evaluation.stats.bootstrap import Difference, Estimate

TITLES = {"base": "Base", "sft": "SFT", "grpo": "GRPO"}
MEANING = {
    "WA": "quality of the questions where the expert went on asking: 1 if any item asked is one the expert still "
    "went on to get, 0 for a wrong stop",
    "WA-share": "the same with the share of the asked items that are right, so that asking for much does not pay",
    "WA-GH": "good hits: share of the turns where the expert went on asking in which the policy asks for something "
    "still needed. The grader at work grades 0 or 1, so WA is the same figure",
    "ask-rate": "share of the turns where the expert went on asking that were answered with a question at all",
    "WA-given-asked": "WA over the turns where the policy asked a question",
    "WA-GH-given-asked": "good hits over the turns where the policy asked: WA-GH = ask-rate × this",
    "WS-continue": "goes on where the expert went on asking",
    "WS-stop": "stops where the expert stopped",
    "TA": "right decisions, to go on or to stop, over all turns",
    "Format": "one thing at a time: 1 for one item asked, 0.5 for two, else 0; 1 for an exact stop; 0 for a wrong "
    "decision",
    "Total": "the whole in one figure, 0 to 4: TA + 2·(p·WA + (1−p)·WS-stop) + Format, p = share of continue turns",
    "Total-share": "Total with WA-share for WA: the reward that training sees with its default weights",
    "missing-share": "share of the answers that the grader could not judge; they leave every other metric",
}
_PANELS = ("WA-GH", "WA-GH-given-asked", "WS-continue", "WS-stop", "Format", "Total")
_TILES = ("WA-GH", "WS-continue", "WS-stop", "Total")
_FOREST = ("WA-GH", "WA-GH-given-asked", "ask-rate", "WS-continue", "WS-stop", "TA", "Format")
_GROUPED = ("WA-GH", "WS-continue", "WS-stop", "Total")
_VERDICTS = ("on-time", "too-early", "too-late", "endless")
_Chart = tuple[str, Markup, list[tuple[str, int]]]  # name, drawing, (label, series) of its lines
LARGEST = {"Total": 4.0, "Total-share": 4.0}


def render(report_json: Path, out: Path) -> None:
    """Write the page for the report in `report_json` to `out`. Raises InputError when it is not a report."""
    text = page(read_report(report_json))
    with out.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def stylesheet() -> Markup:
    """The style sheet of report and sweep pages, which they contain so that each page is one file."""
    return Markup(resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8"))


def page(report: Report) -> str:
    """The whole HTML document."""
    environment = Environment(
        loader=PackageLoader("learntoask.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "signed": signed, "percent": _percent, "title": title}
    tested = report.policy(report.under_test)
    assert tested is not None, "a report names a policy under test that it does not hold"
    return environment.get_template("report.html.j2").render(
        report=report,
        tested=tested,
        style=stylesheet(),
        metrics=METRICS,
        meaning=MEANING,
        tiles=[_tile(report, tested, name) for name in _TILES],
        panels=[(name, MEANING[name], _panel(report.policies, name)) for name in _PANELS],
        forests=[(pair, _forest(pair)) for pair in report.pairs if pair.decoding == "greedy"],
        decodings=[
            (decoding, words)
            for decoding, words in (
                ("greedy", "Greedy, as the server decodes"),
                ("sampled", _sampled_words(report)),
            )
            if decoding in tested.decodings
        ],
        grouped=_grouped(report.policies),
        calibration=_calibration(report.policies),
        verdicts=[(policy, _verdicts(policy)) for policy in report.policies if policy.replay],
        curves=_curves(report.curves),
        agreement=agreement_table(report.grader.agreement),
        published=published,
    )


def _tile(report: Report, tested: PolicyReport, name: str) -> dict[str, object]:
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
        _bar(title(policy.name), index, policy.decodings["greedy"].metrics[name])
        for index, policy in enumerate(policies)
    ]
    return plots.bars(rows, top=LARGEST.get(name, 1.0), title=f"{name} of each policy, with 95 % intervals")


def _forest(pair: Pair) -> Markup:
    rows = [
        plots.Bar(name, 0, found.value, found.low, found.high)
        for name in _FOREST
        for found in (pair.metrics[name],)
    ]
    return plots.forest(rows, title=f"{title(pair.after)} minus {title(pair.before)}, 95 % intervals")


def _grouped(policies: Sequence[PolicyReport]) -> list[tuple[str, Markup]]:
    """Per headline metric, seen beside unseen tasks for every policy; empty where sessions are of one kind."""
    if not all(policy.decodings["greedy"].groups for policy in policies):
        return []
    found = []
    for name in _GROUPED:
        rows = [
            _bar(
                f"{title(policy.name)} {group}",
                index,
                policy.decodings["greedy"].groups[group].metrics[name],
            )
            for index, policy in enumerate(policies)
            for group in ("seen", "unseen")
        ]
        chart = plots.bars(rows, top=LARGEST.get(name, 1.0), title=f"{name} on seen and unseen tasks")
        found.append((name, chart))
    return found


def _calibration(policies: Sequence[PolicyReport]) -> Markup | None:
    series = [
        plots.Line(
            title(policy.name), index, [(bin.mean, bin.stop_share) for bin in policy.stop_probability.bins]
        )
        for index, policy in enumerate(policies)
        if policy.stop_probability
    ]
    return plots.calibration(series, title="Calibration of the stop probability") if series else None


def _verdicts(policy: PolicyReport) -> Markup:
    metrics: Metrics = policy.replay.metrics if policy.replay else {}
    shares = [(name, metrics[name].value or 0.0) for name in _VERDICTS]
    return plots.stacked(shares, title=f"How replayed sessions of {title(policy.name)} ended")


def _curves(curves: Sequence[Curve]) -> list[tuple[str, list[_Chart]]]:
    """Charts per stage, one for each figure of its log; training and validation share a chart."""
    stages: dict[str, dict[str, list[Curve]]] = {}
    for curve in curves:
        figure = curve.name.partition("/")[2] or curve.name
        stages.setdefault(curve.stage, {}).setdefault(figure, []).append(curve)
    return [
        (stage, [_chart(stage, figure, found) for figure, found in figures.items()])
        for stage, figures in stages.items()
    ]


def _chart(stage: str, figure: str, curves: Sequence[Curve]) -> _Chart:
    series = [
        plots.Line(curve.name.partition("/")[0], index, list(zip(curve.steps, curve.values, strict=True)))
        for index, curve in enumerate(curves, 1)
    ]
    drawn = plots.lines(series, title=f"{stage}: {figure} against updates")
    return figure, drawn, [(line.label, line.series) for line in series]


def _bar(label: str, series: int, estimate: Estimate) -> plots.Bar:
    return plots.Bar(label, series, estimate.value, estimate.low, estimate.high)


def _sampled_words(report: Report) -> str:
    settings = report.settings.get("evaluate")
    if isinstance(settings, dict):
        return f"{settings.get('samples')} samples at temperature {settings.get('temperature')}"
    return "Sampled"


def title(policy: str) -> str:
    return TITLES.get(policy, policy)


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
