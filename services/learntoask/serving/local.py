"""A policy server inside this process, on a free loopback port: for the demo and for `lta chat` without a server."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

from learntoask.rpc.process import in_thread
from learntoask.serving.config import ServeConfig
from learntoask.serving.process import make_server
from learntoask.serving.server import PolicyServer


def local_server(config: ServeConfig) -> AbstractContextManager[PolicyServer]:
    """A started server, drained when the block ends. Raises InputError where pack or policy cannot be loaded."""
    return in_thread(partial(make_server, config), name="policy-server")
