"""`lta status`: the state of every stage of a run, or of all runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from learntoask.cli.cluster.options import context_option, in_cluster, namespace_option
from learntoask.cli.options import json_option
from learntoask.runner.home import home_folder, run_names


@click.command
@click.argument("run", required=False, help="Name of the run or its manifest; all runs when left out.")
@json_option
@click.option("--cluster", is_flag=True, help="Runs in the kubeconfig's cluster.")
@namespace_option
@context_option
def status(run: str | None, as_json: bool, cluster: bool, namespace: str | None, context: str | None) -> None:
    """Show stage, state, duration and digests of a run."""
    if cluster:
        _show_cluster_runs(run, as_json=as_json, namespace=namespace, context=context)
        return
    home = home_folder()
    names = [run] if run else run_names(home)
    if names:
        _show_local_runs(names, home, as_json=as_json, all_runs=run is None)
    elif as_json:
        click.echo("[]")
    else:
        click.echo(f"no runs in {home}; start one with {click.style('lta run MANIFEST', bold=True)}")


def _show_local_runs(names: list[str], home: Path, *, as_json: bool, all_runs: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 - these take a second; without a run nothing needs them

    from learntoask.cli.run_table import print_published, run_json, run_table  # noqa: PLC0415
    from learntoask.local.view import view  # noqa: PLC0415

    views = [view(name, home=home) for name in names]
    if as_json:
        values = [run_json(shown) for shown in views]
        click.echo(json.dumps(values if all_runs else values[0], indent=2))
        return
    console = Console()
    for shown in views:
        console.print(run_table(shown))
        print_published(console, shown)
        if shown.plan.message:
            console.print(shown.plan.message, markup=False, style="red")
        if shown.outcome == "Stopped":
            console.print(f"[bold]lta run {shown.sources.path}[/] continues where it was")


def _show_cluster_runs(run: str | None, *, as_json: bool, namespace: str | None, context: str | None) -> None:
    from rich.console import Console  # noqa: PLC0415

    from learntoask.cli.run_table import cluster_run_table, print_published  # noqa: PLC0415
    from learntoask.cluster.display import ShownRun, json_of  # noqa: PLC0415

    async def read(kube: Any) -> list[dict[str, Any]]:
        from learntoask.kube import RUN  # noqa: PLC0415 - the extra `operator`

        place = namespace or kube.namespace
        return [await kube.get(RUN, run, namespace=place)] if run else await kube.list(RUN, namespace=place)

    runs = [ShownRun.of(body) for body in in_cluster(read, context=context)]
    if as_json:
        values = [json_of(shown, now=time.time()) for shown in runs]
        click.echo(json.dumps(values[0] if run else values, indent=2))
        return
    console = Console()
    if not runs:
        console.print("no runs in that namespace; start one with [bold]lta apply MANIFEST[/]")
    for shown in runs:
        console.print(cluster_run_table(shown, now=time.time()))
        print_published(console, shown)
        if shown.status.message:
            style = "red" if shown.status.phase == "Failed" else None
            console.print(shown.status.message, markup=False, style=style)
        if shown.status.endpoint:
            endpoint = shown.status.endpoint
            console.print(f"served by AskEndpoint {endpoint.name} {endpoint.address}")
