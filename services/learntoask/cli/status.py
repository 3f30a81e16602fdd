"""`lta status`: where every stage of a run stands."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from learntoask.local.display import duration
from learntoask.local.home import home_folder, run_folders
from learntoask.local.view import RunView, view

_COLOURS = {"Published": "green", "Running": "cyan", "Retrying": "yellow", "Failed": "red", "Pending": "dim"}


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(
    run: Annotated[
        str | None, typer.Argument(help="Name of the run or its manifest; all runs when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show stage, state, duration and digests of a run."""
    home = home_folder()
    views = [view(run, home=home)] if run else [view(folder.name, home=home) for folder in run_folders(home)]
    if as_json:
        typer.echo(
            json.dumps([run_json(shown) for shown in views] if run is None else run_json(views[0]), indent=2)
        )
        return
    console = Console()
    if not views:
        console.print(f"no runs in {home}; start one with [bold]lta run MANIFEST[/]")
    for shown in views:
        console.print(stage_table(shown))
        if shown.plan.message:
            console.print(shown.plan.message, markup=False, style="red")
        if shown.outcome == "Stopped":
            console.print(f"[bold]lta run {shown.sources.path}[/] continues where it was")


def run_json(shown: RunView) -> dict[str, Any]:
    """A run for scripts; times in seconds, digests whole."""
    return {
        "run": shown.folder.name,
        "manifest": str(shown.sources.path),
        "outcome": shown.outcome,
        "reason": shown.plan.reason,
        "message": shown.plan.message,
        "stages": [
            {
                "stage": stage.name,
                "state": stage.state,
                "key": stage.key,
                "output": stage.output,
                "attempt": stage.attempt,
                "reason": stage.reason,
                "message": stage.message,
                "seconds": _seconds(shown, stage.name),
                "summary": shown.publications[stage.name].summary if stage.name in shown.publications else {},
                "inputs": shown.publications[stage.name].inputs if stage.name in shown.publications else {},
            }
            for stage in shown.plan.stages
        ],
    }


def stage_table(shown: RunView) -> Table:
    table = Table(title=f"run {shown.folder.name}: {shown.outcome}", title_justify="left")
    for heading in ("stage", "state", "took", "output", "inputs"):
        table.add_column(heading, overflow="fold")
    for stage in shown.plan.stages:
        publication = shown.publications.get(stage.name)
        lineage = (
            " ".join(f"{name}:{digest[:8]}" for name, digest in publication.inputs.items())
            if publication
            else ""
        )
        took = _seconds(shown, stage.name)
        table.add_row(
            stage.name,
            f"[{_COLOURS[stage.state]}]{stage.state}[/]",
            duration(took) if took is not None else "",
            (stage.output or "")[:12],
            f"[dim]{lineage}[/]",
        )
    return table


def _seconds(shown: RunView, stage: str) -> float | None:
    """How long the published computation took, or how long the running one has been at it."""
    publication = shown.publications.get(stage)
    if publication:
        return publication.finished - publication.started
    attempt = shown.state.stages.get(stage)
    if attempt is None:
        return None
    return (attempt.finished or time.time()) - attempt.started
