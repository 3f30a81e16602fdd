"""`lta run`: all stages of a manifest on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from learntoask.cli.interruption import continuable
from learntoask.cli.metrics_table import metrics_table
from learntoask.cli.options import manifest_argument
from learntoask.cli.run_table import print_published, run_json, run_table
from learntoask.core.errors import GateFailed, InputError, LearnToAskError, StageError
from learntoask.core.stages.graph import resolve_stage, stages_of
from learntoask.core.stages.planner import Plan
from learntoask.core.status.conditions import GATE_FAILED, GRADER_NOT_CALIBRATED
from learntoask.local.display import RunDisplay
from learntoask.local.estimate import expected_seconds, size_of
from learntoask.local.executor import Executor
from learntoask.local.view import RunView, view_of
from learntoask.runner.home import home_folder
from learntoask.runner.inputs import read_sources
from learntoask.runner.run_folder import RunFolder


@click.command
@manifest_argument
@click.option("--from", "rewind_to", metavar="STAGE", help="Compute this stage and all after it again.")
@click.option("--until", metavar="STAGE", help="Compute only this stage and those that it needs.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
def run(manifest: Path, rewind_to: str | None, until: str | None, as_json: bool) -> None:
    """Run every stage whose inputs changed: fetch, prepare, label, grader, sft, grpo, evaluate, gate, serve.

    Results are in the folder .lta (LTA_HOME). To continue a run that was stopped or killed, start it again.
    """
    home = home_folder()
    stage = resolve_stage(rewind_to) if rewind_to else None
    last = resolve_stage(until) if until else None
    sources = read_sources(manifest, home=home)
    if last is not None and last not in {known.name for known in stages_of(sources.spec)}:
        raise InputError(f"this run has no stage {last}, because its manifest has no spec.calibrate")
    folder = RunFolder(home, sources.manifest.metadata.name)
    console = Console(stderr=as_json, highlight=False)
    again = (
        f"lta run {manifest}"  # without --from, which would compute the stage once more from its beginning
    )
    expected = expected_seconds(sources.spec, size_of(sources))
    with folder.locked(), continuable(console, again), RunDisplay(console, expected=expected) as display:
        executor = Executor(sources=sources, folder=folder, home=home, display=display)
        outcome = executor.run(rewind_to=stage, until=last)
    shown = view_of(sources, folder)
    if as_json:
        click.echo(json.dumps(run_json(shown), indent=2))
    else:
        _present(console, shown)
    _raise_for(outcome)


def _raise_for(outcome: Plan) -> None:
    if outcome.outcome == "Suspended":
        raise LearnToAskError("the run is suspended (spec.suspend is true); set it to false and run again")
    if outcome.outcome == "Failed":
        refusals = (GATE_FAILED, GRADER_NOT_CALIBRATED)
        kind = GateFailed if outcome.reason in refusals else StageError
        raise kind(outcome.message, reason=outcome.reason)


def _present(console: Console, shown: RunView) -> None:
    console.print()
    console.print(run_table(shown))
    headline = (
        shown.publications["evaluate"].summary.get("headline") if "evaluate" in shown.publications else None
    )
    if "calibrate" in shown.publications:
        from learntoask.cli.people_summary import agreement_table  # noqa: PLC0415 - numpy

        console.print(agreement_table(shown.publications["calibrate"].summary["calibration"]))  # type: ignore[arg-type]
    if isinstance(headline, dict):
        console.print(metrics_table(headline))
        print_published(console, shown)
    if "serve" in shown.publications:
        _print_demo(console, shown)
    name = shown.folder.name
    if "label" in shown.publications and "sft" not in shown.publications:
        console.print(f"  [bold]lta data labels {name}[/]   read labelled sessions")
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
    lines = [f"[bold]{turn['role']}[/]: {escape(turn['text'])}" for turn in demo["turns"]]
    if not lines:  # the pack has no demo
        return
    console.print(
        Panel("\n".join(lines), title="a conversation with the policy, over gRPC", title_align="left")
    )
