"""`lta grader`: the graders of a run as a service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack, load_pack
from learntoask.local.home import home_folder
from learntoask.local.view import view

_Graders = Annotated[
    str, typer.Argument(help="Name of a run or its manifest, or a folder that a grader stage has published.")
]
_Pack = Annotated[Path | None, typer.Option("--pack", help="With a folder: the domain pack.")]


def register(app: typer.Typer) -> None:
    grader = typer.Typer(help="The graders of a run as a service.", no_args_is_help=True)
    grader.callback()(lambda: None)  # keeps `serve` a subcommand although it is the only one
    grader.command()(serve)
    app.add_typer(grader, name="grader")


def serve(
    graders: _Graders,
    pack: _Pack = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of the Prometheus endpoint; none by default.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with the bearer token.")
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM certificate chain; turns TLS on.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM authority of client certificates (mTLS).")
    ] = None,
) -> None:
    """Serve both graders over gRPC until SIGTERM or Ctrl-C. More settings: LTA_GRADER_SERVE_… in the environment."""
    from learntoask.grader_service.config import read_config  # noqa: PLC0415 - grpc
    from learntoask.grader_service.process import run_service  # noqa: PLC0415

    config = read_config(
        os.environ,
        {
            "host": host,
            "port": port,
            "metrics_port": metrics_port,
            "token_file": token_file,
            "tls_certificate": tls_certificate,
            "tls_key": tls_key,
            "tls_client_ca": tls_client_ca,
        },
    )
    folder, its_pack = _published(graders, pack)
    run_service(
        config, folder, its_pack, ready=lambda address: typer.echo(f"grading on {address}", err=True)
    )


def _published(name: str, pack: Path | None) -> tuple[Path, Pack]:
    """The output of a grader stage, and the pack it belongs to."""
    if Path(name).is_dir():
        if pack is None:
            raise InputError(f"{name} is a folder; give the domain pack of its graders with --pack")
        return Path(name), load_pack(pack)
    shown = view(name, home=home_folder())
    return shown.output("grader"), shown.sources.pack
