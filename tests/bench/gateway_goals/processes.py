"""Policy servers and gateways as processes, run as `lta serve` and `lta gateway` run them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import uvloop
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.rpc.process import run
from learntoask.serving.config import ServeConfig
from learntoask.serving.conversation import SERVICE
from learntoask.serving.engines.protocol import Draft
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.process import GatewayServer
from learntoask.serving.server import PolicyServer, ServedPolicy
from null_engine import NullEngine

PACK = Pack.model_validate(
    {"name": "bench", "tasks": [{"name": "default", "goal": "Advise.", "fields": [{"name": "duration"}]}]}
)


class SlowEngine(NullEngine):
    """Takes its time without using a processor, as an engine on a GPU does."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def decide(self, context: Context) -> Draft:
        await asyncio.sleep(self._seconds)
        return await super().decide(context)


@dataclass(frozen=True)
class Running:
    """A process that serves at `address`."""

    address: str
    process: Any

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


class Processes:
    """Starts servers; all end with `started`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._context = multiprocessing.get_context("spawn")
        self._running: list[Running] = []
        (folder / "pack.json").write_text(PACK.model_dump_json(by_alias=True))

    def policy(self, revision: str, *, seconds: float = 0.0, at_once: int = 64) -> Running:
        return self._start(_serve_policy, revision, seconds, at_once)

    def gateway(self, *servers: str, **settings: Any) -> Running:
        return self._start(
            _serve_gateway, {"servers": servers, "pack": self.folder / "pack.json", **settings}
        )

    def bare_proxy(self, *servers: str) -> Running:
        return self._start(_serve_bare_proxy, servers)

    def kill_all(self) -> None:
        for running in self._running:
            running.kill()

    def _start(self, target: Callable[..., None], *arguments: Any) -> Running:
        here, there = self._context.Pipe()
        process = self._context.Process(target=target, args=(there, *arguments), daemon=True)
        process.start()
        self._running.append(Running(here.recv(), process))
        return self._running[-1]


@contextmanager
def started() -> Iterator[Processes]:
    """Give processes to a measurement, and end them after it."""
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(Path(folder))
        try:
            yield processes
        finally:
            processes.kill_all()


def _serve_policy(pipe: Connection, revision: str, seconds: float, at_once: int) -> None:
    engine = SlowEngine(seconds) if seconds else NullEngine()
    parts = ServedPolicy(engine=engine, pack=PACK, revision=revision, shape="")
    config = ServeConfig(model=Path(), pack=Path(), port=0, metrics_port=0, max_concurrent=at_once)

    async def make() -> PolicyServer:
        return PolicyServer(config, parts)

    _run(make, pipe)


def _serve_gateway(pipe: Connection, settings: dict[str, Any]) -> None:
    async def make() -> GatewayServer:
        return GatewayServer(GatewayConfig(port=0, metrics_port=0, **settings))

    _run(make, pipe)


def _serve_bare_proxy(pipe: Connection, addresses: tuple[str, ...]) -> None:
    """Pass the bytes of each call on to one of the servers, in turn."""

    async def main() -> None:
        channels = [grpc.aio.insecure_channel(address) for address in addresses]
        decide = cycle([channel.unary_unary(f"/{SERVICE}/Decide") for channel in channels])

        async def passed_on(asked: bytes, _context: grpc.aio.ServicerContext) -> bytes:
            return await next(decide)(asked, timeout=15)

        server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(passed_on)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Decide": method}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        pipe.send(f"127.0.0.1:{port}")
        await server.wait_for_termination()

    uvloop.run(main())


def _run(make: Callable[[], Any], pipe: Connection) -> None:
    with open(os.devnull, "w") as sink, redirect_stderr(sink):
        run(make, log_level="INFO", ready=pipe.send)
