"""kopf watches runs and endpoints and tells the loop. It does nothing else, for reasons measured with kopf 1.45:

- Only event handlers are used. Daemons and timers put finalizers on objects, which stay stuck once the operator is
  uninstalled, and change handlers write an annotation as large as the object.
- `queueing.worker_limit` stays unset. Idle workers count against it, so a few objects keep all others waiting.
- Our own code posts Events, because kopf posts some even where posting is off.
- There is no peering, because it is no leader election; the Lease is.
- When kopf lists again after a lost connection, it does not report what was deleted meanwhile. So a watch of our own,
  of the metadata only, tells what is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import kopf
from learntoask.kube import Kind, Kube, follow

from learntoask_operator.loop import Loop
from learntoask_operator.settings import Settings


async def watch(kube: Kube, loop: Loop, kinds: Iterable[Kind], settings: Settings) -> None:
    """Tell `loop` about every object of `kinds`, until cancelled."""
    registry = kopf.OperatorRegistry()
    for kind in kinds:
        _register(registry, loop, kind)
    access = kube.access

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        """Log in as the rest of the operator does. kopf calls this again when the server refuses the token."""
        headers = await access.headers()
        scheme, _space, token = headers.get("authorization", "").partition(" ")
        configuration = access.configuration
        return kopf.ConnectionInfo(
            server=access.server,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme.capitalize() or None,
            token=token.strip() or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            proxy_url=access.proxy(),
            default_namespace=access.namespace,
        )

    stop = asyncio.Event()
    namespaces = [name for name in settings.watched if name is not None]
    operator = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=_kopf_settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            stop_flag=stop,
        ),
        name="kopf",
    )
    try:
        await asyncio.shield(operator)
    finally:
        stop.set()
        _, late = await asyncio.wait({operator}, timeout=5)
        for task in late:
            task.cancel()


async def watch_deletions(kube: Kube, loop: Loop, kinds: Iterable[Kind], settings: Settings) -> None:
    """Tell `loop` which objects of `kinds` are gone, until cancelled."""
    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            for namespace in settings.watched:
                group.create_task(_watch_deletions(kube, loop, kind, namespace))


async def _watch_deletions(kube: Kube, loop: Loop, kind: Kind, namespace: str | None) -> None:
    async for change in follow(kube, kind, namespace=namespace, metadata_only=True):
        if change.how == "listed":
            loop.listed(kind, namespace, change.items, version=change.version)
        elif change.how == "gone":
            for body in change.items:
                loop.gone(kind, body)


def _register(registry: kopf.OperatorRegistry, loop: Loop, kind: Kind) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)
    async def observed(event: Any, **_: Any) -> None:
        body = event["object"]
        if event["type"] == "DELETED":
            loop.gone(kind, body)
        else:
            loop.observed(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **body})


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # it would take a right to list CRDs and namespaces
    settings.watching.server_timeout = 290
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = 300
    settings.watching.reconnect_backoff = 0.5
    settings.queueing.idle_timeout = 1
    settings.queueing.exit_timeout = 1
    # A BaseException in kopf must not end the process while our own tasks still run.
    settings.process.ultimate_exiting_timeout = None
    settings.networking.request_timeout = 60
    return settings
