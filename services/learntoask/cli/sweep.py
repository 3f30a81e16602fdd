"""`lta sweep`: runs variants of one manifest and compares them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from learntoask.cli.interruption import continuable
from learntoask.cli.options import PATH
from learntoask.core.errors import StageError
from learntoask.core.manifest.sweep import LearnToAskSweep
from learntoask.local.display import RunDisplay
from learntoask.local.sweeps import MemberOutcome, load_sweep, run_member, write_members
from learntoask.runner.home import home_folder

if TYPE_CHECKING:
    from learntoask.evaluation.sweep.report import SweepReport, VariantReport
    from learntoask.evaluation.sweep.seeds import SeedSummary


@click.command
@click.argument("file", type=PATH, help="A LearnToAskSweep (YAML): a base manifest and variants of it.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; progress goes to stderr.")
def sweep(file: Path, as_json: bool) -> None:
    """Run the variants of a manifest one after another and compare them. Stages that they share are computed once.

    A variant that fails does not stop the others. When the sweep is started again, it computes what is missing.
    """
    from learntoask.evaluation.sweep.report import seeds_table, sweep_table  # noqa: PLC0415 - numpy and the report models

    home = home_folder()
    document = load_sweep(file)
    folder = home / "sweeps" / document.metadata.name
    members = write_members(document, path=file, folder=folder)
    console = Console(stderr=as_json, highlight=False)
    outcomes: list[MemberOutcome] = []
    for number, member in enumerate(members, 1):
        console.print(f"[bold]{member.name}[/] ({number} of {len(members)}, run {member.run})")
        with continuable(console, f"lta sweep {file}"), RunDisplay(console) as display:
            outcomes.append(run_member(member, home=home, display=display))
        report = _write_report(document, outcomes, folder)  # after each one, because a sweep may be stopped
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        console.print(sweep_table(report))
        if report.seeds:
            console.print(seeds_table(report))
        for variant in report.variants:
            if variant.message:
                console.print(f"{variant.name}: {variant.message}", markup=False)
        console.print(f"Report: [bold]{folder / 'report.html'}[/]")
    failed = [variant.name for variant in report.variants if variant.state == "failed"]
    if failed:
        raise StageError(f"{len(failed)} of {len(members)} variants failed: {', '.join(failed)}")


def _write_report(document: LearnToAskSweep, outcomes: list[MemberOutcome], folder: Path) -> SweepReport:
    from learntoask.evaluation.sweep.html import sweep_page  # noqa: PLC0415
    from learntoask.evaluation.sweep.report import SweepReport, curve_report, variant_report  # noqa: PLC0415

    firsts: dict[int | None, MemberOutcome] = {}  # by seed, so that runs are compared with the same seed
    for outcome in outcomes:
        if outcome.evaluation:
            firsts.setdefault(outcome.member.seed, outcome)
    variants = [
        variant_report(
            name=outcome.member.name,
            run=outcome.member.run,
            changes=outcome.member.changes,
            state=outcome.state,
            message=outcome.message,
            evaluation=outcome.evaluation,
            first=first.evaluation if first is not None and first is not outcome else None,
        )
        for outcome in outcomes
        for first in (firsts.get(outcome.member.seed),)
    ]
    curves = []
    for curve in document.spec.curves:
        values = {curve.variant(value).name: value for value in curve.values}
        known = dict.fromkeys(outcome.member.variant for outcome in outcomes)
        points = [(values[name], name) for name in known if name in values]
        curves.append(curve_report(curve.label, curve.field, points))
    seeds = _seed_summaries(outcomes, variants) if document.spec.seeds else []
    report = SweepReport(name=document.metadata.name, variants=variants, curves=curves, seeds=seeds)
    (folder / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(sweep_page(report), encoding="utf-8")
    return report


def _seed_summaries(outcomes: list[MemberOutcome], variants: list[VariantReport]) -> list[SeedSummary]:
    from learntoask.evaluation.sweep.seeds import SeedRun, seed_summaries  # noqa: PLC0415

    runs: dict[str, dict[int, SeedRun | None]] = {}
    for outcome, variant in zip(outcomes, variants, strict=True):
        member = outcome.member
        if member.seed is not None:
            folder = outcome.evaluation if variant.policies else None  # a report that cannot be read has none
            run = SeedRun.read(folder) if folder is not None else None
            runs.setdefault(member.variant, {})[member.seed] = run
    return seed_summaries(runs)
