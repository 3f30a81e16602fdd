"""`lta serve` and `lta chat`: the policy of a run, a published policy or any model folder, over gRPC."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from learntoask.core.errors import InputError
from learntoask.local.view import view
from learntoask.runner.run_folder import home_folder
from learntoask.store.address import environment_store
from learntoask.store.factory import open_store

_Run = Annotated[str | None, typer.Argument(help="Name of a run or its manifest; its gate must have passed.")]
_Model = Annotated[
    str | None, typer.Option("--model", help="Instead of a run: a model folder, or s3://bucket/folder.")
]
_Pack = Annotated[
    str | None, typer.Option("--pack", help="With --model: the domain pack, or s3://bucket/key.")
]
_Token = Annotated[Path | None, typer.Option("--token-file", help="File with the bearer token.")]


def register(app: typer.Typer) -> None:
    app.command()(serve)
    app.command()(chat)


def serve(
    run: _Run = None,
    model: _Model = None,
    pack: _Pack = None,
    publication: Annotated[
        str | None,
        typer.Option(
            envvar="LTA_PUBLICATION", help="Instead of a run: key of a serve stage in the store (LTA_STORE…)."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(envvar="LTA_POLICY", help="With --publication: key of the stage that holds the model."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of the Prometheus endpoint; none by default.")
    ] = None,
    token_file: _Token = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM certificate chain; turns TLS on.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM authority of client certificates (mTLS).")
    ] = None,
    records: Annotated[Path | None, typer.Option(help="Folder for served conversations, as logs.")] = None,
) -> None:
    """Serve a policy over gRPC until SIGTERM or Ctrl-C. More settings: LTA_SERVE_… in the environment."""
    from learntoask.serving.process import run_server  # noqa: PLC0415 - torch

    flags = {
        "host": host,
        "port": port,
        "metrics_port": metrics_port,
        "token_file": token_file,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "records": records,
    }

    def configure() -> Any:
        return _published(publication, policy, flags) if publication else _config(run, model, pack, flags)

    run_server(configure, ready=lambda address: typer.echo(f"serving on {address}", err=True))


def chat(
    run: _Run = None,
    model: _Model = None,
    pack: _Pack = None,
    address: Annotated[str | None, typer.Option(help="host:port of a running server instead.")] = None,
    task: Annotated[str, typer.Option(help="Task of the conversation, as the pack names it.")] = "",
    token_file: _Token = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="PEM authority of the server's certificate; turns TLS on.")
    ] = None,
) -> None:
    """Talk to a policy: to a running server, or to one started for the conversation."""
    from learntoask.cli.serving.chat import chat as converse  # noqa: PLC0415
    from learntoask.client import Client, Tls  # noqa: PLC0415 - grpc

    console = Console(highlight=False)
    token = token_file.read_text().strip() if token_file else os.environ.get("LTA_TOKEN")
    if address:
        with Client(address, token=token, tls=Tls(authority=tls_ca) if tls_ca else None) as client:
            converse(client, console, task=task)
        return
    from learntoask.serving.process import local_server  # noqa: PLC0415 - torch

    config = _config(run, model, pack, {"host": "127.0.0.1", "port": 0, "log_level": "ERROR"})
    with ExitStack() as running:
        with console.status("loading the policy"):
            server = running.enter_context(local_server(config))
        client = running.enter_context(Client(server.address, timeout=config.deadline_seconds))
        converse(client, console, task=task)


def _config(run: str | None, model: str | None, pack: str | None, flags: dict[str, Any]) -> Any:
    """The server's configuration: flags over environment over what the run's manifest says."""
    from learntoask.serving.config import read_config, settings_of  # noqa: PLC0415

    if run is None:
        if model is None or pack is None:
            raise InputError("name a run, or give --model and --pack")
        from learntoask.serving.published import brought  # noqa: PLC0415

        cache = home_folder() / "served"
        given = {
            "model": brought(model, field="--model", cache=cache),
            "pack": brought(pack, field="--pack", cache=cache),
        }
        return read_config(os.environ, {**flags, **given})
    shown = view(run, home=home_folder())
    if "serve" not in shown.publications:
        why = shown.plan.message or "it has not come that far; see `lta status`"
        raise InputError(f"run {shown.folder.name!r} has no policy to serve: {why}")
    given = {"model": shown.output("grpo") / "model", "pack": shown.output("serve") / "pack.json"}
    return read_config(os.environ, {**flags, **given}, defaults=settings_of(shown.sources.spec))


def _published(publication: str, policy: str | None, flags: dict[str, Any]) -> Any:
    """The configuration for a policy that is fetched from the store, and prompted as it was published."""
    from learntoask.serving.config import read_config  # noqa: PLC0415
    from learntoask.serving.published import fetch_policy  # noqa: PLC0415

    if policy is None:
        raise InputError("--publication needs --policy, the key of the stage that holds the model")
    store = open_store(environment_store())
    found = fetch_policy(store, publication, policy, cache=home_folder() / "served")
    given = {"model": found.model, "pack": found.pack}
    return read_config(os.environ, {**flags, **given}, defaults=found.settings)
