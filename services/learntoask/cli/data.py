"""`lta data`: a look at logs before anything runs, and their way into a store."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from learntoask.core.errors import InputError
from learntoask.core.manifest import Dataset, StoreSettings
from learntoask.core.pack import load_pack
from learntoask.labeling.check import CheckReport, check_file
from learntoask.runner.run_folder import home_folder
from learntoask.store.address import address_of


def register(app: typer.Typer) -> None:
    data = typer.Typer(help="Look at logs before anything runs; upload them.", no_args_is_help=True)
    data.command()(check)
    data.command("push")(push_files)
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


def push_files(
    files: Annotated[list[Path], typer.Argument(help="Logs, packs, folders with a base model.")],
    store: Annotated[
        str | None, typer.Option("--store", help="s3://bucket/prefix; LTA_STORE by default.")
    ] = None,
) -> None:
    """Upload files for manifests of runs in a cluster and print their addresses; what is there is not sent again."""
    from learntoask.cli.cluster.runs import pushed  # noqa: PLC0415

    environment = {**os.environ, **({"LTA_STORE": store} if store else {})}
    address = address_of(
        StoreSettings(), folder=Path.cwd(), default=home_folder() / "store", environment=environment
    )
    said = Console(stderr=True, highlight=False)
    for file in files:
        typer.echo(pushed(file, address, said))


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
