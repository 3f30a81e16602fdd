"""`lta try`: tests whether a cluster runs a manifest to its end and serves the resulting policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from learntoask.cli.cluster.options import context_option, in_cluster, namespace_option, store_option
from learntoask.cli.cluster.upload import upload_manifest
from learntoask.cli.options import PATH
from learntoask.core.errors import ClusterError, InputError
from learntoask.core.manifest import seconds


@click.command("try")
@click.argument("manifest", type=PATH, help="A small LearnToAskRun manifest (YAML).")
@click.option("--say", default="hello, I need some help", help="First message of the user.")
@click.option("--timeout", default="20m", help="Longest time for all of it.")
@click.option("--keep", is_flag=True, help="Do not delete the run and its endpoint.")
@namespace_option
@context_option
@store_option
def try_out(
    manifest: Path,
    say: str,
    timeout: str,
    keep: bool,
    namespace: str | None,
    context: str | None,
    store: str | None,
) -> None:
    """Apply a small run, wait for its policy, ask it one question, and delete both again. `helm test` does this.

    Run it in a pod of the cluster, because it connects to the endpoint's address."""
    try:
        longest = float(seconds(timeout))
    except ValueError as error:
        raise InputError(f"--timeout: {error}") from error
    console = Console(highlight=False)
    parsed, body = upload_manifest(manifest, store, console)

    async def test(kube: Any) -> Any:
        from learntoask.cluster.smoke_test import run_smoke_test  # noqa: PLC0415 - the extra `operator`

        body["metadata"]["namespace"] = namespace or parsed.metadata.namespace or kube.namespace
        return await run_smoke_test(kube, body, say=say, keep=keep, timeout=longest, report=console.print)

    decision = in_cluster(test, context=context)
    console.print(f"[bold]user[/]       {say}")
    console.print(f"[bold]assistant[/]  {decision.question or '(stops asking)'}")
    if decision.origin == "no_server":
        raise ClusterError("this is the gateway's fallback answer; no policy server answers")
    console.print("[green]✓[/] the loop works, from logs to an answered question")
