"""`lta apply`, `logs`, `suspend`, `resume`, `rerun`, `retry`: runs in a cluster, through the kubeconfig's context."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from learntoask.cluster.manifest import with_addresses
from learntoask.cluster.requests import rerun as asked_anew
from learntoask.cluster.requests import retried, suspended
from learntoask.cluster.upload import push
from learntoask.core.json_object import Json
from learntoask.core.manifest import LearnToAskRun, load_manifest
from learntoask.runner.run_folder import home_folder
from learntoask.store.address import StoreAddress, address_of

Run = Annotated[str, typer.Argument(help="Name of the run.")]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace; that of the kubeconfig's context by default."),
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]


def register(app: typer.Typer) -> None:
    for command in (apply, logs, suspend, resume, rerun, retry):
        app.command()(command)


def apply(
    manifest: Annotated[Path, typer.Argument(help="A LearnToAskRun manifest (YAML).")],
    namespace: Namespace = None,
    context: Context = None,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Upload to this s3://bucket/prefix instead of the manifest's store."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload, and print the manifest instead of applying it.")
    ] = False,
) -> None:
    """Upload what the manifest names on this machine and apply it to a cluster, where the operator runs it."""
    console = Console(stderr=dry_run, highlight=False)
    parsed, body = uploaded_manifest(manifest, store, console)
    if dry_run:
        typer.echo(yaml.safe_dump(body, sort_keys=False, allow_unicode=True))
        return

    async def applied(kube: Any) -> str:
        from learntoask.kube import RUN  # noqa: PLC0415

        place = namespace or parsed.metadata.namespace or kube.namespace
        body["metadata"]["namespace"] = place
        await kube.apply(RUN, body)
        return place

    place, name = in_cluster(applied, context=context), parsed.metadata.name
    console.print(f"[green]✓[/] run [bold]{name}[/] is applied in namespace {place}. See how it goes:")
    flag = f" -n {place}" if namespace else ""
    console.print(f"  [bold]lta status --cluster {name}{flag}[/]   stages, progress, what failed and why")
    console.print(f"  [bold]lta logs {name} -f{flag}[/]            what its pods say")
    console.print(f"  [bold]kubectl get ltar {name} -w{flag}[/]")


def logs(
    run: Run,
    stage: Annotated[str | None, typer.Option("--stage", help="Of this stage only.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", min=1, help="The last so many lines of each pod.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """What the pods of a run print: those of the stage that ran last, or all of them as they come."""
    from learntoask.cluster.logs import follow_logs, show_logs  # noqa: PLC0415

    def line(pod: str, text: str) -> None:
        typer.echo(f"{pod}: {text.rstrip()}")

    async def read(kube: Any) -> None:
        place = namespace or kube.namespace
        if follow:
            await follow_logs(kube, run, namespace=place, stage=stage, line=line)
        else:
            await show_logs(kube, run, namespace=place, stage=stage, tail=tail, line=line)

    in_cluster(read, context=context)


def suspend(run: Run, namespace: Namespace = None, context: Context = None) -> None:
    """Stop what runs and start nothing new; training goes on from its checkpoint later."""
    _patch(run, suspended(True), namespace, context)
    typer.echo(f"run {run} is suspended; `lta resume {run}` lets it go on")


def resume(run: Run, namespace: Namespace = None, context: Context = None) -> None:
    """Let a suspended run go on."""
    _patch(run, suspended(False), namespace, context)
    typer.echo(f"run {run} goes on")


def rerun(
    run: Run,
    stage: Annotated[
        str, typer.Option("--from", metavar="STAGE", help="Compute this stage and all after it anew.")
    ],
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Rewind a run, also one that is over."""
    _patch(run, asked_anew(stage, word=f"{time.time():.0f}"), namespace, context)
    typer.echo(f"run {run} is computed anew from {stage} on")


def retry(run: Run, namespace: Namespace = None, context: Context = None) -> None:
    """Let a failed run try again, from the checkpoint of the stage that failed."""
    _patch(run, retried(word=f"{time.time():.0f}"), namespace, context)
    typer.echo(f"run {run} tries again")


def in_cluster(do: Callable[[Any], Coroutine[Any, Any, Any]], *, context: str | None) -> Any:
    """What `do` returns, given a connection to the cluster of the kubeconfig's context."""
    from learntoask.kube import Kube  # noqa: PLC0415 - the Kubernetes client

    async def connected() -> Any:
        async with Kube.connect(context=context) as kube:
            return await do(kube)

    return asyncio.run(connected())


def uploaded_manifest(manifest: Path, store: str | None, console: Console) -> tuple[LearnToAskRun, Json]:
    """The manifest, and as it is applied: with the addresses of what was uploaded in place of paths. `store` wins over
    the manifest's."""
    parsed = load_manifest(manifest)
    body: Json = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    folder = manifest.resolve().parent

    def uploaded(path: Path) -> str:
        return pushed(path, _store(parsed.spec.store, folder, store), console)

    return parsed, with_addresses(body, parsed.spec, folder, uploaded)


def pushed(path: Path, address: StoreAddress, console: Console) -> str:
    """Upload and say so; returns the address."""

    def told(file: Path, sent: bool) -> None:
        what = "uploaded" if sent else "is there already"
        console.print(f"[green]✓[/] {os.path.relpath(file)} {what}")

    return push(path, address, told=told)


def _store(spec: Any, folder: Path, given: str | None) -> StoreAddress:
    environment = {**os.environ, **({"LTA_STORE": given} if given else {})}
    return address_of(spec, folder=folder, default=home_folder() / "store", environment=environment)


def _patch(run: str, patch: Json, namespace: str | None, context: str | None) -> None:
    async def patched(kube: Any) -> None:
        from learntoask.kube import RUN  # noqa: PLC0415

        await kube.patch(RUN, run, patch, namespace=namespace or kube.namespace)

    in_cluster(patched, context=context)
