"""`lta sweep`: variants of one run, and what became of them, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from learntoask.core.errors import StageError
from learntoask.core.manifest.sweep import LearnToAskSweep
from learntoask.local.display import RunDisplay
from learntoask.local.sweeps import Ended, load_sweep, members, run_member
from learntoask.runner.run_folder import home_folder

if TYPE_CHECKING:
    from learntoask.evaluation.sweep.report import SweepReport


def register(app: typer.Typer) -> None:
    app.command()(sweep)


def sweep(
    file: Annotated[
        Path, typer.Argument(help="A LearnToAskSweep (YAML): a base manifest and variants of it.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON; progress goes to stderr.")
    ] = False,
) -> None:
    """Run the variants of a manifest one after another and compare them; what they share is computed once.

    A variant that fails does not stop the others. Started again, it does what is not done yet.
    """
    from learntoask.evaluation.sweep.report import sweep_table  # noqa: PLC0415 - numpy and the report models

    home = home_folder()
    wanted = load_sweep(file)
    folder = home / "sweeps" / wanted.metadata.name
    runs = members(wanted, path=file, folder=folder)
    console = Console(stderr=as_json, highlight=False)
    ended: list[Ended] = []
    for place, member in enumerate(runs, 1):
        console.print(f"[bold]{member.name}[/] ({place} of {len(runs)}, run {member.run})")
        with RunDisplay(console) as display:
            ended.append(run_member(member, home=home, display=display))
        report = _report(wanted, ended, folder)  # after each: a sweep may be stopped before its end
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        console.print(sweep_table(report))
        for variant in report.variants:
            if variant.message:
                console.print(f"{variant.name}: {variant.message}", markup=False)
        console.print(f"Report: [bold]{folder / 'report.html'}[/]")
    failed = [variant.name for variant in report.variants if variant.state == "failed"]
    if failed:
        raise StageError(f"{len(failed)} of {len(runs)} variants failed: {', '.join(failed)}")


def _report(wanted: LearnToAskSweep, ended: list[Ended], folder: Path) -> SweepReport:
    from learntoask.evaluation.sweep.html import sweep_page  # noqa: PLC0415
    from learntoask.evaluation.sweep.report import SweepReport, curve_report, variant_report  # noqa: PLC0415

    first = next((one for one in ended if one.evaluation), None)
    variants = [
        variant_report(
            name=one.member.name,
            run=one.member.run,
            changes=one.member.changes,
            state=one.state,
            message=one.message,
            evaluation=one.evaluation,
            first=first.evaluation if first is not None and first is not one else None,
        )
        for one in ended
    ]
    known = {variant.name for variant in variants}
    curves = []
    for curve in wanted.spec.curves:
        points = [(value, curve.variant(value).name) for value in curve.values]
        curves.append(
            curve_report(curve.label, curve.field, [point for point in points if point[1] in known])
        )
    report = SweepReport(name=wanted.metadata.name, variants=variants, curves=curves)
    (folder / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(sweep_page(report), encoding="utf-8")
    return report
