"""The operator's process: take the Lease, then watch, reconcile, and receive progress until told to end.

A lost Lease ends the process. A replica that no longer holds it must not act, and a fresh start is the simplest state.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.core.manifest import seconds
from learntoask.core.pod_contract import LEADER_LABEL
from learntoask.kube import POD, Kind, Kube, KubeError
from learntoask.progress.server import ProgressServer
from learntoask.progress.tokens import TokenVerifier
from learntoask.rpc.config import ListenConfig
from learntoask.rpc.metrics import expose

from learntoask_operator.cache.children import ChildCache
from learntoask_operator.cache.projections import PROJECTIONS
from learntoask_operator.endpoint.gateways import GatewayBoard
from learntoask_operator.endpoint.reconciler import EndpointReconciler
from learntoask_operator.events import EventQueue
from learntoask_operator.health import Health
from learntoask_operator.leader.lease import Lease, LeaseLost
from learntoask_operator.leader.thread import LeaseThread
from learntoask_operator.loop import Loop
from learntoask_operator.metrics import Metrics
from learntoask_operator.namespaces import ServedNamespaces
from learntoask_operator.ownership import MANAGER
from learntoask_operator.run.progress import ProgressBoard
from learntoask_operator.run.reconciler import RunReconciler
from learntoask_operator.settings import Settings
from learntoask_operator.watch import watch, watch_deletions

_log = logging.getLogger(__name__)


async def run_operator(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT (exit code 0), or until the Lease is lost (1)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with Kube.connect(
        kubeconfig=settings.kubeconfig_path, field_manager=MANAGER, called=metrics.called
    ) as kube:
        return await _Process(kube, settings, metrics).run(stop)


class _Process:
    def __init__(self, kube: Kube, settings: Settings, metrics: Metrics) -> None:
        self._kube, self._settings, self._metrics = kube, settings, metrics
        self._events = EventQueue(kube, clock=time.time)
        self._namespaces = ServedNamespaces(settings.namespace_selector)
        self._loop = Loop(observer=metrics, concurrency=settings.concurrency, namespaces=self._namespaces)
        self._children = ChildCache(PROJECTIONS, changed=self._loop.wake)
        self._progress = ProgressBoard(wake=self._loop.wake, clock=time.time)
        self._gateways = GatewayBoard(wake=self._loop.wake)
        runs = RunReconciler(
            kube=kube,
            children=self._children,
            events=self._events,
            progress=self._progress,
            settings=settings,
            metrics=metrics,
            observed=self._loop.observed,
            gone=self._loop.gone,
            clock=time.time,
        )
        endpoints = EndpointReconciler(
            kube=kube,
            children=self._children,
            gateways=self._gateways,
            events=self._events,
            settings=settings,
            metrics=metrics,
            observed=self._loop.observed,
            gone=self._loop.gone,
            clock=time.time,
        )
        self._reconcilers = (runs, endpoints)
        for reconciler in self._reconcilers:
            self._loop.add(reconciler)
        self._acting = False
        self._home = settings.lease_namespace or kube.namespace
        self._health = Health(
            longest_reconcile=self._loop.longest_reconcile,
            acting=lambda: self._acting,
            synced=lambda: self._children.synced(settings.watched),
        )
        identity = f"{settings.pod_name or socket.gethostname()}_{os.getpid()}"
        self._lease = LeaseThread(
            lambda: Kube.connect(
                kubeconfig=settings.kubeconfig_path, field_manager=MANAGER, called=metrics.called
            ),
            lambda connection: Lease(
                connection,
                name=settings.lease_name,
                namespace=self._home,
                identity=identity,
                duration=seconds(settings.lease_time),
                renewal=seconds(settings.lease_renewal),
            ),
        )

    async def run(self, stop: asyncio.Event) -> int:
        settings = self._settings
        try:
            await self._health.start(host=settings.listen, port=settings.health_port)
            exposed, _ = expose(
                self._metrics.registry,
                host=settings.listen,
                port=settings.metrics_port,
                token_file=_file(settings.metrics_token_file),
            )
        except OSError as error:
            why = f"--health-port, --metrics-port: cannot listen on {settings.listen}: {error.strerror}"
            raise InputError(why) from error
        _log.info("health on port %d, metrics on port %d", self._health.port, exposed.server_port)
        stopped = asyncio.create_task(stop.wait(), name="stop")
        beating = asyncio.create_task(self._health.run(), name="heartbeat")
        work = asyncio.create_task(self._act(stop), name="operator")
        try:
            done, _ = await asyncio.wait({stopped, beating, work}, return_when=asyncio.FIRST_COMPLETED)
            if work in done and (fault := work.exception()) is not None:
                _log.error("ending: %s", fault, exc_info=None if isinstance(fault, LeaseLost) else fault)
                return 1
            return 0 if stopped in done else 1
        finally:
            await _cancel(work, stopped, beating)
            exposed.shutdown()
            await self._health.stop()
            _log.info("ended")

    async def _act(self, stop: asyncio.Event) -> None:
        """Hold the Lease and work, until cancelled or until the Lease is lost."""
        try:
            await self._lease.acquire()
            self._acting = True
            self._metrics.leader.set(1)
            # The progress server drains only after all tasks of the group have ended.
            async with self._progress_server(), asyncio.TaskGroup() as group:
                group.create_task(self._lease.hold(), name="lease")
                group.create_task(self._mark_leader(), name="leader label")
                group.create_task(self._events.run(), name="events")
                group.create_task(self._children.watch(self._kube, self._settings.watched), name="children")
                group.create_task(self._open_when_synced(), name="sync")
                group.create_task(self._watch(stop), name="objects")
                group.create_task(self._watch_deletions(), name="deletions")
                served = self._namespaces.watch(self._kube, self._loop, self._kinds)
                group.create_task(served, name="namespaces")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._metrics.leader.set(0)
            await self._loop.close(grace=seconds(self._settings.grace) / 2)
            await self._lease.release()
            self._acting = False

    @property
    def _kinds(self) -> list[Kind]:
        return [reconciler.kind for reconciler in self._reconcilers]

    async def _watch(self, stop: asyncio.Event) -> None:
        await watch(self._kube, self._loop, self._kinds, self._settings)
        stop.set()  # kopf replaces our signal handlers and returns at a signal

    async def _watch_deletions(self) -> None:
        await watch_deletions(self._kube, self._loop, self._kinds, self._settings)

    async def _open_when_synced(self) -> None:
        while not self._children.synced(self._settings.watched):
            await asyncio.sleep(0.05)
        self._loop.open()
        _log.info("acting: the watches have listed all objects")

    @contextlib.asynccontextmanager
    async def _progress_server(self) -> AsyncIterator[None]:
        """Listen to stages and gateways while the context is open, if their pods are given an address for it."""
        if not self._settings.progress_address:
            yield
            return
        server = ProgressServer(
            ListenConfig(
                host=self._settings.listen,
                port=self._settings.progress_port,
                drain_seconds=1.0,
                tls_certificate=_file(self._settings.progress_certificate),
                tls_key=_file(self._settings.progress_key),
            ),
            verify=TokenVerifier(self._kube.server_keys),
            on_report=lambda report, identity: self._progress.report(report),
            gateways=self._gateways,
        )
        await server.start()
        _log.info("progress on port %d", server.port)
        try:
            yield
        finally:
            await server.drain()

    async def _mark_leader(self) -> None:
        """Set the leader label on this pod, and remove it from the other pods of the operator."""
        name, namespace = self._settings.pod_name, self._home
        if not name:
            return
        while True:
            try:
                for pod in await self._kube.list(POD, namespace=namespace, labels=f"{LEADER_LABEL}=true"):
                    if pod["metadata"]["name"] != name:
                        await self._label(pod["metadata"]["name"], namespace, None)
                await self._label(name, namespace, "true")
                return
            except KubeError as error:
                _log.warning("this pod cannot be labelled as leader: %s", error, extra={"object": name})
                await asyncio.sleep(5)

    async def _label(self, pod: str, namespace: str, value: str | None) -> None:
        patch = {"metadata": {"labels": {LEADER_LABEL: value}}}
        await self._kube.patch(POD, pod, patch, namespace=namespace)


def _file(setting: str) -> Path | None:
    return Path(setting) if setting else None


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
