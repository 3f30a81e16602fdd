"""`lta try`: whether a cluster runs a manifest to its end and serves what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from learntoask.cli.cluster.runs import Context, Namespace, in_cluster, uploaded_manifest
from learntoask.core.errors import ClusterError, InputError
from learntoask.core.manifest import seconds


def register(app: typer.Typer) -> None:
    app.command("try")(try_out)


def try_out(
    manifest: Annotated[Path, typer.Argument(help="A LearnToAskRun manifest (YAML), a small one.")],
    say: Annotated[str, typer.Option(help="What the user says first.")] = "hello, I need some help",
    timeout: Annotated[str, typer.Option(help="Longest time for all of it.")] = "20m",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the run and its endpoint where they are.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Upload to this s3://bucket/prefix instead of the manifest's store."),
    ] = None,
) -> None:
    """Apply a small run, wait for its policy, ask it one question, and take both away again: `helm test` does this.

    It must be able to reach the endpoint's address, so it runs in a pod of the cluster."""
    try:
        longest = float(seconds(timeout))
    except ValueError as error:
        raise InputError(f"--timeout: {error}") from error
    console = Console(highlight=False)
    parsed, body = uploaded_manifest(manifest, store, console)

    async def tried(kube: Any) -> Any:
        from learntoask.cluster.smoke_test import tried as apply_and_ask  # noqa: PLC0415 - grpc

        body["metadata"]["namespace"] = namespace or parsed.metadata.namespace or kube.namespace
        return await apply_and_ask(kube, body, say=say, keep=keep, timeout=longest, told=console.print)

    decision = in_cluster(tried, context=context)
    console.print(f"[bold]user[/]       {say}")
    console.print(f"[bold]assistant[/]  {decision.question or '(stops asking)'}")
    if decision.origin == "no_server":
        raise ClusterError("that is what the gateway says while no policy server answers")
    console.print("[green]✓[/] the loop works, from logs to an answered question")
