"""The gateway's process: connects backends, client, service and records."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial

import grpc

from learntoask.core.pack import Pack, load_pack
from learntoask.rpc.channels import Tls
from learntoask.rpc.process import run
from learntoask.rpc.requests import tolerant_parser
from learntoask.rpc.server import GrpcServer
from learntoask.serving.conversation import SERVICE, handlers
from learntoask.serving.gateway.backends import BackendPool
from learntoask.serving.gateway.client import BackendClient, RetryPolicy
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.serving.gateway.operator_link import OperatorLink
from learntoask.serving.gateway.records import GatewayRecords
from learntoask.serving.gateway.service import GatewayAskService
from learntoask.serving.rollout.controller import Controller, Decider, Follower, RolloutLoop
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.ledger import Ledger
from learntoask.serving.rollout.metrics import RolloutCollector
from learntoask.serving.rollout.outcomes import Outcomes
from learntoask.serving.rollout.shadow import Shadow
from learntoask.store.address import environment_store
from learntoask.wire import ask_pb2 as wire

# After this time a starting gateway takes calls even if no server was found.
_FIRST_SERVER_SECONDS = 5.0


class GatewayServer(GrpcServer):
    """Answers AskService by asking policy servers; on drain, records are written and sent last."""

    def __init__(self, config: GatewayConfig) -> None:
        """Raises InputError if the pack or a credential cannot be read, or the port cannot be bound."""
        self.config = config
        self.metrics = GatewayMetrics()
        pack = load_pack(config.pack)
        self.backends = self._pool(config.servers)
        self.canary_backends = self._pool(config.canary) if config.canary else None
        self._records = _records(config, pack, self.metrics)
        policy = RetryPolicy(
            attempt=config.attempt_seconds, patience=config.patience_seconds, faults=config.faults
        )
        connect = partial(BackendClient, policy=policy, token=config.server_token, metrics=self.metrics)
        client = connect(self.backends)
        canary = connect(self.canary_backends) if self.canary_backends else None
        events = EventReader(pack)
        self.ledger = Ledger(events, gateway=f"{random.getrandbits(64):016x}", clock=time.time)
        RolloutCollector(self.ledger, registry=self.metrics.registry)
        self._shadow = (
            Shadow(canary, self.ledger, events, records=self._records, seconds=config.attempt_seconds)
            if canary
            else None
        )
        controller = _controller(config, self.ledger, client, canary)
        self._rollout = RolloutLoop(self.ledger, controller)
        followed = controller if isinstance(controller, Follower) else None
        outcomes = Outcomes(self.ledger, records=self._records, metrics=self.metrics)
        self._link = _link(config, self.backends, self.canary_backends, followed, outcomes)
        service = GatewayAskService(
            client,
            ledger=self.ledger,
            outcomes=outcomes,
            canary=canary,
            shadow=self._shadow,
            pack=pack,
            config=config,
            metrics=self.metrics,
            records=self._records,
        )
        self.metrics.watch(in_flight=lambda: service.in_flight, serving=self.backends.serving)
        super().__init__(
            config,
            service,
            name=SERVICE,
            handlers=handlers(
                service,
                ReportOutcome=grpc.unary_unary_rpc_method_handler(
                    service.report_outcome,
                    tolerant_parser(wire.ReportOutcomeRequest),
                    wire.ReportOutcomeResponse.SerializeToString,
                ),
            ),
            registry=self.metrics.registry,
        )

    async def start(self) -> None:
        """Look for policy servers, then take calls. Returns within 5 s even if no policy server answers."""
        if self._link:
            self._link.start()
        starting = [self.backends.start(patience=_FIRST_SERVER_SECONDS)]
        if self.canary_backends:
            starting.append(self.canary_backends.start(patience=_FIRST_SERVER_SECONDS))
        await asyncio.gather(*starting)
        if self._shadow:
            self._shadow.start()
        await self._rollout.start()
        if self._records:
            self._records.start()
        await super().start()

    async def close(self) -> None:
        """Write and send the records, then close the channels to the policy servers."""
        if self._shadow:
            await self._shadow.close()
        await self._rollout.close()
        if self._records:
            await self._records.close()
        if self._link:
            await self._link.close()
        await self.backends.close()
        if self.canary_backends:
            await self.canary_backends.close()

    def _pool(self, names: tuple[str, ...]) -> BackendPool:
        return BackendPool(
            names,
            tls=self.config.server_tls,
            plain_text=self.config.server_plain_text,
            resolve_seconds=self.config.resolve_seconds,
            metrics=self.metrics,
        )


def _controller(
    config: GatewayConfig, ledger: Ledger, control: BackendClient, canary: BackendClient | None
) -> Controller | None:
    path = config.rollout_path
    if path is None or canary is None:
        return None
    if config.strategy is None:
        return Follower(ledger, path)
    return Decider(ledger, control, canary, strategy_path=config.strategy, state_path=path, clock=time.time)


def _link(
    config: GatewayConfig,
    backends: BackendPool,
    canary: BackendPool | None,
    rollout: Follower | None,
    outcomes: Outcomes,
) -> OperatorLink | None:
    if config.operator is None or config.operator_token is None or config.endpoint is None:
        return None
    return OperatorLink(
        config.operator,
        token=config.operator_token,
        tls=Tls(config.operator_ca) if config.operator_ca else None,
        endpoint=config.endpoint,
        backends=backends,
        canary=canary,
        rollout=rollout,
        outcomes=outcomes,
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
    run(partial(make_gateway, config), name="learntoask-gateway", log_level=config.log_level, ready=ready)
