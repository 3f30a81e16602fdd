"""The gateway's process: connects backends, client, service and records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from learntoask.core.pack import Pack, load_pack
from learntoask.rpc.process import run
from learntoask.rpc.server import GrpcServer
from learntoask.serving.conversation import SERVICE, handlers
from learntoask.serving.gateway.backends import BackendPool
from learntoask.serving.gateway.client import BackendClient, RetryPolicy
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.serving.gateway.operator_link import OperatorLink
from learntoask.serving.gateway.records import GatewayRecords
from learntoask.serving.gateway.service import GatewayAskService
from learntoask.store.address import environment_store

# After this time a starting gateway takes calls even if no server was found.
_FIRST_SERVER_SECONDS = 5.0


class GatewayServer(GrpcServer):
    """Answers AskService by asking policy servers; on drain, records are written and sent last."""

    def __init__(self, config: GatewayConfig) -> None:
        """Raises InputError if the pack or a credential cannot be read, or the port cannot be bound."""
        self.config = config
        self.metrics = GatewayMetrics()
        pack = load_pack(config.pack)
        self.backends = BackendPool(
            config.servers,
            tls=config.server_tls,
            resolve_seconds=config.resolve_seconds,
            metrics=self.metrics,
        )
        self._link = _link(config, self.backends)
        self._records = _records(config, pack, self.metrics)
        policy = RetryPolicy(
            attempt=config.attempt_seconds, patience=config.patience_seconds, faults=config.faults
        )
        client = BackendClient(self.backends, policy=policy, token=config.server_token, metrics=self.metrics)
        service = GatewayAskService(
            client, pack=pack, config=config, metrics=self.metrics, records=self._records
        )
        self.metrics.watch(in_flight=lambda: service.in_flight, serving=self.backends.serving)
        super().__init__(
            config, service, name=SERVICE, handlers=handlers(service), registry=self.metrics.registry
        )

    async def start(self) -> None:
        """Look for policy servers, then take calls. Returns within 5 s even if no policy server answers."""
        if self._link:
            self._link.start()
        await self.backends.start(patience=_FIRST_SERVER_SECONDS)
        if self._records:
            self._records.start()
        await super().start()

    async def close(self) -> None:
        """Write and send the records, then close the channels to the policy servers."""
        if self._records:
            await self._records.close()
        if self._link:
            await self._link.close()
        await self.backends.close()


def _link(config: GatewayConfig, backends: BackendPool) -> OperatorLink | None:
    if config.operator is None or config.operator_token is None or config.endpoint is None:
        return None
    return OperatorLink(
        config.operator, token=config.operator_token, endpoint=config.endpoint, backends=backends
    )


def _records(config: GatewayConfig, pack: Pack, metrics: GatewayMetrics) -> GatewayRecords | None:
    if config.records is None:
        return None
    service = environment_store() if config.records_uri else None
    return GatewayRecords(config.records, pack, config=config, metrics=metrics, service=service)


async def make_gateway(config: GatewayConfig) -> GatewayServer:
    """Make the gateway inside the running event loop. Raises InputError as GatewayServer does."""
    return GatewayServer(config)


def run_gateway(config: GatewayConfig, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM. `ready` gets the address once the gateway takes calls. Raises InputError before that."""
    run(partial(make_gateway, config), log_level=config.log_level, ready=ready)
