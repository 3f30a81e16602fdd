"""A gateway in this process, with policy servers in this process or in processes that can be killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.process import GatewayServer

from worlds.serving import PACK

_POLICY = """
import os
from learntoask.serving.config import read_config
from learntoask.serving.process import run_server

def configure():
    return read_config(os.environ, {})

run_server(configure(), configure=configure, ready=lambda address: print(address, flush=True))
"""


def write_pack(folder: Path) -> Path:
    path = folder / "pack.json"
    path.write_text(PACK.model_dump_json(by_alias=True))
    return path


@asynccontextmanager
async def gateway(pack: Path, *servers: str, **settings: object) -> AsyncIterator[GatewayServer]:
    config = GatewayConfig(
        **{"servers": servers, "pack": pack, "port": 0, "drain_seconds": 5.0, "resolve_seconds": 0.2}
        | settings
    )
    made = GatewayServer(config)
    await made.start()
    try:
        yield made
    finally:
        await made.drain()


def conversations_at(gateway: GatewayServer, address: str) -> Iterator[str]:
    """Yield ids of conversations that are routed to `address`, a server that must serve and be idle."""
    for name in map(str, range(1000)):
        chosen = gateway.backends.choose(name, set())
        if chosen is not None and chosen.address == address:
            yield name


def samples(gateway: GatewayServer, name: str) -> Mapping[tuple[str, ...], float]:
    """Return the samples of a metric by their label values."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in gateway.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


@contextmanager
def policy_process(model: Path, pack: Path, *, port: str = "0") -> Iterator[subprocess.Popen[str]]:
    """Start a policy server in a separate process; `address_of` waits until it listens."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "LTA_SERVE_MODEL": str(model),
        "LTA_SERVE_PACK": str(pack),
        "LTA_SERVE_PORT": port,
        "LTA_SERVE_MAX_NEW_TOKENS": "8",
        "LTA_SERVE_DEADLINE_SECONDS": "100",
        "LTA_SERVE_WARM_UP": "true",
        "LTA_SERVE_LOG_LEVEL": "ERROR",
    }
    server = subprocess.Popen(
        [sys.executable, "-c", _POLICY], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        yield server
    finally:
        server.kill()
        server.wait(30)


async def address_of(server: subprocess.Popen[str]) -> str:
    """Wait until the server listens, and return its address."""
    return (await asyncio.to_thread(server.stdout.readline)).strip()
