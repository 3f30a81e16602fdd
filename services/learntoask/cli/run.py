"""`lta run`: the whole loop of a manifest on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel

from learntoask.cli.metrics_table import metrics_table
from learntoask.cli.status import run_json, stage_table
from learntoask.core.errors import GateFailed, LearnToAskError, StageError
from learntoask.core.stages.graph import resolve_stage
from learntoask.core.stages.planner import Plan
from learntoask.local.display import RunDisplay
from learntoask.local.executor import Executor
from learntoask.local.view import RunView, view_of
from learntoask.runner.inputs import read_sources
from learntoask.runner.run_folder import RunFolder, home_folder


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    manifest: Annotated[Path, typer.Argument(help="A LearnToAskRun manifest (YAML).")],
    rewind_to: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Compute this stage and all after it anew.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")
    ] = False,
) -> None:
    """Run every stage whose inputs changed: logs to samples, labels, training, report, gate, demo.

    A run that was stopped or killed continues where it was when started again.
    """
    home = home_folder()
    stage = resolve_stage(rewind_to) if rewind_to else None
    sources = read_sources(manifest, home=home)
    folder = RunFolder(home, sources.manifest.metadata.name)
    console = Console(stderr=as_json, highlight=False)
    with folder.locked(), RunDisplay(console) as display:
        executor = Executor(sources=sources, folder=folder, home=home, display=display)
        outcome = executor.run(rewind_to=stage)
    shown = view_of(sources, folder)
    if as_json:
        typer.echo(json.dumps(run_json(shown), indent=2))
    else:
        _present(console, shown)
    _raise_for(outcome)


def _raise_for(outcome: Plan) -> None:
    if outcome.outcome == "Suspended":
        raise LearnToAskError("the run is suspended (spec.suspend is true); set it to false and run again")
    if outcome.outcome == "Failed":
        kind = GateFailed if outcome.reason == "GateFailed" else StageError
        raise kind(outcome.message, reason=outcome.reason)


def _present(console: Console, shown: RunView) -> None:
    console.print()
    console.print(stage_table(shown))
    headline = (
        shown.publications["evaluate"].summary.get("headline") if "evaluate" in shown.publications else None
    )
    if isinstance(headline, dict):
        console.print(metrics_table(headline))
    if "serve" in shown.publications:
        _print_demo(console, shown)
    name = shown.folder.name
    if "evaluate" in shown.publications:
        report = shown.output("evaluate") / "report.html"
        console.print(f"Report: [bold]{os.path.relpath(report)}[/]")
    if "serve" in shown.publications:
        console.print("Try next:")
        console.print(f"  [bold]lta chat {name}[/]     talk to the policy")
        console.print(f"  [bold]lta serve {name}[/]    serve it over gRPC")
        console.print(f"  [bold]lta status {name}[/]   stages, digests, durations")


def _print_demo(console: Console, shown: RunView) -> None:
    demo = json.loads((shown.output("serve") / "demo.json").read_text())
    lines = []
    for turn in demo["turns"]:
        lines.append(f"[bold]{turn['role']}[/]: {turn['text']}")
    console.print(
        Panel("\n".join(lines), title="a conversation with the policy, over gRPC", title_align="left")
    )
