"""`lta gateway`: one address in front of several policy servers."""

from __future__ import annotations

import os
from typing import Any

import click

from learntoask.cli.options import PATH
from learntoask.cli.serving.flags import records_option, server_options
from learntoask.runner.home import home_folder


@click.command
@click.option(
    "--server",
    multiple=True,
    help="host:port of policy servers; a name stands for every address behind it. Repeatable.",
)
@click.option("--canary", multiple=True, help="host:port of servers of a policy that is tried. Repeatable.")
@click.option(
    "--strategy",
    type=PATH,
    help="How it is tried: a YAML file (docs/rollout.md). `lta rollout` shows the rollout.",
)
@click.option("--pack", help="Domain pack, or s3://bucket/key: its fallback answers while no server does.")
@click.option(
    "--publication",
    envvar="LTA_PUBLICATION",
    show_envvar=True,
    help="Instead of --pack: key of a serve stage in the store (LTA_STORE…), which has the pack.",
)
@server_options
@records_option
def gateway(
    server: tuple[str, ...],
    canary: tuple[str, ...],
    pack: str | None,
    publication: str | None,
    **flags: Any,
) -> None:
    """Answer requests through policy servers until SIGTERM or Ctrl-C. Environment variables LTA_GATEWAY_… have more
    settings."""
    from learntoask.serving.gateway.config import read_config  # noqa: PLC0415 - grpc
    from learntoask.serving.gateway.process import run_gateway  # noqa: PLC0415
    from learntoask.serving.published import fetch_pack, fetch_path  # noqa: PLC0415
    from learntoask.store.address import environment_store  # noqa: PLC0415
    from learntoask.store.factory import open_store  # noqa: PLC0415

    cache = home_folder() / "served"
    found = None
    if pack is not None:
        found = fetch_path(pack, field="--pack", cache=cache)
    elif publication:
        found = fetch_pack(open_store(environment_store()), publication, cache=cache)
    config = read_config(
        os.environ, {**flags, "servers": server or None, "canary": canary or None, "pack": found}
    )
    run_gateway(config, ready=lambda address: click.echo(f"gateway on {address}", err=True))
