"""`lta data`: a look at logs before anything runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from learntoask.core.errors import InputError
from learntoask.core.manifest import Dataset
from learntoask.core.pack import load_pack
from learntoask.labeling.check import CheckReport, check_file


def register(app: typer.Typer) -> None:
    data = typer.Typer(help="Look at logs before anything runs.", no_args_is_help=True)
    data.callback()(lambda: None)  # keeps `check` a subcommand although it is the only one
    data.command()(check)
    app.add_typer(data, name="data")


def check(
    file: Annotated[Path, typer.Argument(help="Logs, one JSON session a line.")],
    pack: Annotated[Path, typer.Option("--pack", help="Domain pack (YAML).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Validate and label every line without writing anything; exits with 2 where lines would be quarantined."""
    report = check_file(file, load_pack(pack), Dataset(uri=str(file)))
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(report), "ok": report.ok}, indent=2))
    else:
        _present(Console(highlight=False), report)
    if not report.ok:
        bad, failed = sum(report.quarantined.values()), sum(report.failed_labels.values())
        raise InputError(
            f"{file}: {report.sessions} sessions; {bad} lines would be quarantined and {failed} turns could not be "
            "labelled. A run goes on without them",
            reason="LogsHaveFaults",
        )


def _present(console: Console, report: CheckReport) -> None:
    ends = ", ".join(f"{count} {end}" for end, count in report.ends.items())
    console.print(f"{report.lines} lines, {report.sessions} sessions ({ends})")
    console.print(
        f"{report.decision_points} decision points: {report.continue_samples} continue, {report.stop_samples} stop, "
        f"{report.dropped_empty} with nothing left to ask"
    )
    if report.unnamed_questions:
        console.print(
            f"{report.unnamed_questions} of {report.questions} questions match no pattern of the pack"
        )
    if report.coverage:
        table = Table(title="fields", title_justify="left")
        for heading in ("task", "field", "sessions", "asked in", "given in"):
            table.add_column(heading, justify="left" if heading in ("task", "field") else "right")
        for row in report.coverage:
            table.add_row(row.task, row.field, str(row.sessions), str(row.asked), str(row.given))
        console.print(table)
    for warning in report.warnings:
        console.print(f"warning: {warning}", markup=False, style="yellow")
    for problem in report.problems:
        console.print(f"line {problem.line}: {problem.reason}: {problem.message}", markup=False)
