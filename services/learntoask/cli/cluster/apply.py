"""`lta apply`: a manifest of this machine becomes a run in a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from learntoask.cli.cluster.options import context_option, in_cluster, namespace_option, store_option
from learntoask.cli.options import manifest_argument
from learntoask.core.errors import InputError


@click.command
@manifest_argument
@namespace_option
@context_option
@store_option
@click.option("--dry-run", is_flag=True, help="Upload, and print the manifest instead of applying it.")
def apply(
    manifest: Path, namespace: str | None, context: str | None, store: str | None, dry_run: bool
) -> None:
    """Upload the files of this machine that a manifest names, and apply it to a cluster, where the operator runs it."""
    _check_readable(manifest)
    import yaml  # noqa: PLC0415 - these take a second, and a mistyped path is answered before
    from rich.console import Console  # noqa: PLC0415

    from learntoask.cli.cluster.upload import upload_manifest  # noqa: PLC0415

    console = Console(stderr=dry_run, highlight=False)
    parsed, body = upload_manifest(manifest, store, console)
    if dry_run:
        click.echo(yaml.safe_dump(body, sort_keys=False, allow_unicode=True))
        return

    async def apply_body(kube: Any) -> str:
        from learntoask.kube import RUN  # noqa: PLC0415

        body["metadata"]["namespace"] = namespace or parsed.metadata.namespace or kube.namespace
        await kube.apply(RUN, body)
        return str(body["metadata"]["namespace"])

    place, name = in_cluster(apply_body, context=context), parsed.metadata.name
    console.print(f"[green]✓[/] run [bold]{name}[/] is applied in namespace {place}. See how it goes:")
    flag = f" -n {place}" if namespace else ""
    console.print(
        f"  [bold]lta status --cluster {name}{flag}[/]   stages, progress, failures and their reasons"
    )
    console.print(f"  [bold]lta logs {name} -f{flag}[/]            output of its pods")
    console.print(f"  [bold]kubectl get ltar {name} -w{flag}[/]")


def _check_readable(manifest: Path) -> None:
    try:
        manifest.open("rb").close()
    except OSError as error:
        raise InputError(f"manifest {manifest} cannot be read: {error}") from error
