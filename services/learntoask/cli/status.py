"""`lta status`: where every stage of a run stands."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learntoask.cli.cluster.runs import Context, Namespace, in_cluster
from learntoask.local.display import duration
from learntoask.local.view import RunView, view
from learntoask.runner.run_folder import home_folder, run_folders

if TYPE_CHECKING:
    from learntoask.cluster.display import ShownRun

_COLOURS = {"Published": "green", "Running": "cyan", "Retrying": "yellow", "Failed": "red", "Pending": "dim"}


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(
    run: Annotated[
        str | None, typer.Argument(help="Name of the run or its manifest; all runs when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    cluster: Annotated[bool, typer.Option("--cluster", help="Of runs in the kubeconfig's cluster.")] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Show stage, state, duration and digests of a run."""
    if cluster:
        _of_cluster(run, as_json=as_json, namespace=namespace, context=context)
        return
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


def _of_cluster(run: str | None, *, as_json: bool, namespace: str | None, context: str | None) -> None:
    from learntoask.cluster.display import ShownRun, as_json_value  # noqa: PLC0415

    async def read(kube: Any) -> list[dict[str, Any]]:
        from learntoask.kube import RUN  # noqa: PLC0415

        place = namespace or kube.namespace
        return [await kube.get(RUN, run, namespace=place)] if run else await kube.list(RUN, namespace=place)

    runs = [ShownRun.of(body) for body in in_cluster(read, context=context)]
    if as_json:
        values = [as_json_value(one, now=time.time()) for one in runs]
        typer.echo(json.dumps(values[0] if run else values, indent=2))
        return
    console = Console()
    if not runs:
        console.print("no runs in that namespace; start one with [bold]lta apply MANIFEST[/]")
    for one in runs:
        console.print(cluster_table(one, now=time.time()))
        if one.status.message:
            console.print(
                one.status.message, markup=False, style="red" if one.status.phase == "Failed" else None
            )
        if one.status.endpoint:
            console.print(f"served by AskEndpoint {one.status.endpoint.name} {one.status.endpoint.address}")


def cluster_table(run: ShownRun, *, now: float) -> Table:
    """The table of a run in a cluster; `now` in seconds since the epoch."""
    from learntoask.cluster.display import doing, took  # noqa: PLC0415

    table = Table(title=f"run {run.namespace}/{run.name}: {run.status.phase}", title_justify="left")
    for heading in ("stage", "state", "took", "output", ""):
        table.add_column(heading, overflow="fold")
    for record in run.status.stages:
        seconds = took(record, now=now)
        again = f" (attempt {record.attempt})" if record.attempt > 1 else ""
        table.add_row(
            record.name,
            f"[{_COLOURS.get(record.state, 'yellow')}]{record.state}[/]{again}",
            duration(seconds) if seconds is not None else "",
            (record.output or "")[:12],
            escape(doing(record)),
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
