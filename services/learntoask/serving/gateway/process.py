"""The gateway: wires servers, service, records and listener together, and drains them in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from learntoask.core.pack import Pack, load_pack
from learntoask.rpc.listener import Listener
from learntoask.rpc.process import run
from learntoask.serving.gateway.client import Asker, Bounds
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.metrics import Metrics
from learntoask.serving.gateway.records import Keeper
from learntoask.serving.gateway.servers import Servers
from learntoask.serving.gateway.service import GatewayService
from learntoask.serving.service import SERVICE, handlers
from learntoask.store.address import environment_store

_FIRST_SERVER_SECONDS = 5.0  # a gateway that starts waits so long for a server before it answers by itself


class Gateway:
    """`start`, then `drain` once. Make it inside the event loop that serves it."""

    def __init__(self, config: GatewayConfig) -> None:
        """Raises InputError where the pack or a credential cannot be read, or it cannot listen."""
        self.config = config
        self.metrics = Metrics()
        pack = load_pack(config.pack)
        self.servers = Servers(
            config.servers,
            tls=config.server_tls,
            resolve_seconds=config.resolve_seconds,
            metrics=self.metrics,
        )
        self._keeper = _keeper(config, pack, self.metrics)
        bounds = Bounds(
            attempt=config.attempt_seconds, patience=config.patience_seconds, faults=config.faults
        )
        asker = Asker(self.servers, bounds=bounds, token=config.server_token, metrics=self.metrics)
        service = GatewayService(asker, pack=pack, config=config, metrics=self.metrics, keeper=self._keeper)
        self.metrics.watch(in_flight=lambda: service.in_flight, states=self.servers.states)
        self._listener = Listener(
            config, service, name=SERVICE, handlers=handlers(service), registry=self.metrics.registry
        )

    async def start(self) -> None:
        await self.servers.start(patience=_FIRST_SERVER_SECONDS)
        if self._keeper:
            self._keeper.start()
        await self._listener.start()

    @property
    def address(self) -> str:
        return self._listener.address

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def metrics_port(self) -> int | None:
        return self._listener.metrics_port

    async def drain(self) -> None:
        """Not serving, no new calls, answers that are waited for arrive, records are written and sent. Once."""
        await self._listener.drain(close=self._close)

    async def _close(self) -> None:
        if self._keeper:
            await self._keeper.close()
        await self.servers.close()


def _keeper(config: GatewayConfig, pack: Pack, metrics: Metrics) -> Keeper | None:
    if config.records is None:
        return None
    service = environment_store() if config.records_uri else None
    return Keeper(config.records, pack, config=config, metrics=metrics, service=service)


async def make_gateway(config: GatewayConfig) -> Gateway:
    """Raises InputError as Gateway does."""
    return Gateway(config)


def run_gateway(config: GatewayConfig, *, ready: Callable[[str], None] | None = None) -> None:
    """The whole process. `ready` is told the address. Raises InputError before that."""
    run(partial(make_gateway, config), log_level=config.log_level, ready=ready)
