"""Flags that the servers share: address, metrics, token and TLS. They have the names of the configurations' fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from learntoask.cli.options import PATH

Command = TypeVar("Command", bound=Callable[..., Any])

token_option = click.option("--token-file", type=PATH, help="File with the bearer token of callers.")
records_option = click.option("--records", type=PATH, help="Folder for served conversations, as logs.")

_SERVER_OPTIONS = (
    click.option("--host", help="Address to listen on."),
    click.option("--port", type=int, help="Port to listen on; 0 takes a free one."),
    click.option("--metrics-port", type=int, help="Port of the Prometheus endpoint; none by default."),
    click.option("--metrics-token-file", type=PATH, help="File with the bearer token of scrapes."),
    token_option,
    click.option("--tls-certificate", type=PATH, help="PEM certificate chain; turns TLS on."),
    click.option("--tls-key", type=PATH, help="PEM private key."),
    click.option("--tls-client-ca", type=PATH, help="PEM authority of client certificates (mTLS)."),
)


def server_options(command: Command) -> Command:
    """Add the shared flags of a server. The command receives them as keyword arguments, None where not given."""
    for option in reversed(_SERVER_OPTIONS):
        command = option(command)
    return command
