"""`lta chat`: a conversation with a policy in the terminal."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import click

from learntoask.cli.options import PATH
from learntoask.cli.serving.flags import token_option
from learntoask.cli.serving.serve import model_option, pack_option, run_argument


@click.command
@run_argument
@model_option
@pack_option
@click.option("--address", help="host:port of a running server, instead of a policy.")
@click.option("--task", default="", help="Task of the conversation, as the pack names it.")
@token_option
@click.option("--tls-ca", type=PATH, help="PEM authority of the server's certificate; turns TLS on.")
def chat(
    run: str | None,
    model: str | None,
    pack: str | None,
    address: str | None,
    task: str,
    token_file: Path | None,
    tls_ca: Path | None,
) -> None:
    """Talk to a policy: to a running server, or to one that is started for the conversation."""
    from rich.console import Console  # noqa: PLC0415

    from learntoask.cli.serving.conversation import converse  # noqa: PLC0415
    from learntoask.client import Client, Tls  # noqa: PLC0415 - grpc

    console = Console(highlight=False)
    if address:
        token = token_file.read_text().strip() if token_file else os.environ.get("LTA_TOKEN")
        with Client(address, token=token, tls=Tls(authority=tls_ca) if tls_ca else None) as client:
            converse(client, console, task=task)
        return
    from learntoask.cli.serving.policy import policy_config  # noqa: PLC0415

    # A run without a policy is told before the seconds that importing torch takes.
    config = policy_config(run, model, pack, {"host": "127.0.0.1", "port": 0, "log_level": "ERROR"})
    from learntoask.serving.process import local_server  # noqa: PLC0415 - torch

    with ExitStack() as running:
        with console.status("loading the policy"):
            server = running.enter_context(local_server(config))
        client = running.enter_context(Client(server.address, timeout=config.deadline_seconds))
        converse(client, console, task=task)
