"""`lta logs`, `suspend`, `resume`, `rerun`, `retry`: runs in a cluster, through the kubeconfig's context."""

from __future__ import annotations

import time
from typing import Any

import click

from learntoask.cli.cluster.options import context_option, in_cluster, namespace_option, run_argument
from learntoask.cluster.requests import rerun_patch, retry_patch, suspend_patch
from learntoask.core.json_object import Json


@click.command
@run_argument
@click.option("--stage", help="Only the pods of this stage.")
@click.option("--follow", "-f", is_flag=True, help="Continue until the run is over.")
@click.option("--tail", type=click.IntRange(min=1), help="Only the last lines of each pod.")
@namespace_option
@context_option
def logs(
    run: str, stage: str | None, follow: bool, tail: int | None, namespace: str | None, context: str | None
) -> None:
    """Show what the pods of a run print: those of the stage that ran last or, with --follow, of all from now on."""
    from learntoask.cluster.logs import follow_logs, show_logs  # noqa: PLC0415 - the extra `operator`

    def line(pod: str, text: str) -> None:
        click.echo(f"{pod}: {text.rstrip()}")

    async def read(kube: Any) -> None:
        place = namespace or kube.namespace
        if follow:
            await follow_logs(kube, run, namespace=place, stage=stage, line=line)
        else:
            await show_logs(kube, run, namespace=place, stage=stage, tail=tail, line=line)

    in_cluster(read, context=context)


@click.command
@run_argument
@namespace_option
@context_option
def suspend(run: str, namespace: str | None, context: str | None) -> None:
    """Stop the running stage of a run and start no other. Training continues from its checkpoint later."""
    _patch(run, suspend_patch(True), namespace, context)
    click.echo(f"run {run} is suspended; `lta resume {run}` lets it go on")


@click.command
@run_argument
@namespace_option
@context_option
def resume(run: str, namespace: str | None, context: str | None) -> None:
    """Let a suspended run go on."""
    _patch(run, suspend_patch(False), namespace, context)
    click.echo(f"run {run} goes on")


@click.command
@run_argument
@click.option(
    "--from", "stage", metavar="STAGE", required=True, help="Compute this stage and all after it again."
)
@namespace_option
@context_option
def rerun(run: str, stage: str, namespace: str | None, context: str | None) -> None:
    """Compute a stage of a run again, and all stages after it, even if the run is over."""
    _patch(run, rerun_patch(stage, token=f"{time.time():.0f}"), namespace, context)
    click.echo(f"run {run} is computed again from {stage} on")


@click.command
@run_argument
@namespace_option
@context_option
def retry(run: str, namespace: str | None, context: str | None) -> None:
    """Let a failed run try again, from the checkpoint of the stage that failed."""
    _patch(run, retry_patch(token=f"{time.time():.0f}"), namespace, context)
    click.echo(f"run {run} tries again")


def _patch(run: str, patch: Json, namespace: str | None, context: str | None) -> None:
    async def send(kube: Any) -> None:
        from learntoask.kube import RUN  # noqa: PLC0415

        await kube.patch(RUN, run, patch, namespace=namespace or kube.namespace)

    in_cluster(send, context=context)
