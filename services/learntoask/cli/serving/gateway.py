"""`lta gateway`: one address for a policy, whichever servers answer behind it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from learntoask.runner.run_folder import home_folder
from learntoask.store.address import environment_store
from learntoask.store.factory import open_store


def register(app: typer.Typer) -> None:
    app.command()(gateway)


def gateway(
    server: Annotated[
        list[str] | None,
        typer.Option(
            help="host:port of policy servers; a name stands for every address behind it. Repeatable."
        ),
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(help="Domain pack, or s3://bucket/key: its fallback answers while no server does."),
    ] = None,
    publication: Annotated[
        str | None,
        typer.Option(
            envvar="LTA_PUBLICATION",
            help="Instead of --pack: key of a serve stage in the store (LTA_STORE…), which has it.",
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of the Prometheus endpoint; none by default.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the bearer token of callers.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM certificate chain; turns TLS on.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM authority of client certificates (mTLS).")
    ] = None,
    records: Annotated[Path | None, typer.Option(help="Folder for served conversations, as logs.")] = None,
) -> None:
    """Answer asks through policy servers until SIGTERM or Ctrl-C. More settings: LTA_GATEWAY_… in the environment."""
    from learntoask.serving.gateway.config import read_config  # noqa: PLC0415 - grpc
    from learntoask.serving.gateway.process import run_gateway  # noqa: PLC0415
    from learntoask.serving.published import brought, fetch_pack  # noqa: PLC0415

    cache = home_folder() / "served"
    found = None
    if pack is not None:
        found = brought(pack, field="--pack", cache=cache)
    elif publication:
        found = fetch_pack(open_store(environment_store()), publication, cache=cache)
    flags = {
        "servers": tuple(server) if server else None,
        "pack": found,
        "host": host,
        "port": port,
        "metrics_port": metrics_port,
        "token_file": token_file,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "records": records,
    }
    run_gateway(
        read_config(os.environ, flags), ready=lambda address: typer.echo(f"gateway on {address}", err=True)
    )
