"""A run applied to see whether everything works: waited for, its policy asked one question, taken away again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from learntoask.client import AsyncClient, CallFailed, Decision, user
from learntoask.cluster.display import ShownRun
from learntoask.core.errors import ClusterError, GateFailed, StageError
from learntoask.core.json_object import Json
from learntoask.core.status.conditions import READY, find_condition
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.kube import ENDPOINT, RUN, Kube, KubeError, NotFound

_LOOK_AGAIN = 2.0  # seconds
_ANSWER_SECONDS = 60.0


async def tried(
    kube: Kube, body: Json, *, say: str, keep: bool, timeout: float, told: Callable[[str], None]
) -> Decision:
    """Apply the run `body` and ask its policy what comes after `say`; within `timeout` seconds. Run and endpoint are
    deleted afterwards, unless `keep`.

    Raises StageError where the run fails, GateFailed where its gate refuses the policy, ClusterError where time is up
    or nobody answers.
    """
    until = time.monotonic() + timeout
    async with _applied(kube, body, keep=keep):
        name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
        run = await _over(kube, name, namespace, until, told)
        if run.status.endpoint is None:
            raise ClusterError(f"run {name} is {run.status.phase} and gave its policy to no endpoint")
        address = await _address(kube, run.status.endpoint.name, namespace, until, told)
        told(f"asking {address}")
        return await _answered(address, say)


@asynccontextmanager
async def _applied(kube: Kube, body: Json, *, keep: bool) -> AsyncIterator[None]:
    metadata = body["metadata"]
    if not keep:  # what an earlier trial left would answer for this one
        await _removed(kube, body)
    await kube.apply(RUN, body)
    try:
        yield
    finally:
        if not keep:
            with suppress(KubeError):
                await _removed(kube, {"metadata": metadata, "spec": body["spec"]})


async def _removed(kube: Kube, body: Json) -> None:
    metadata = body["metadata"]
    endpoint = (body["spec"].get("serve") or {}).get("endpoint") or metadata["name"]
    for kind, name in ((RUN, metadata["name"]), (ENDPOINT, endpoint)):
        with suppress(NotFound):
            await kube.delete(kind, name, namespace=metadata["namespace"])


async def _over(kube: Kube, name: str, namespace: str, until: float, told: Callable[[str], None]) -> ShownRun:
    """The run once it is over, well."""
    before: dict[str, str] = {}
    while True:
        run = ShownRun.of(await kube.get(RUN, name, namespace=namespace))
        for record in run.status.stages:
            if record.state != "Pending" and before.get(record.name) != record.state:
                before[record.name] = record.state
                told(f"{record.name}: {record.state} {record.message}".rstrip())
        if run.status.phase == "Succeeded":
            return run
        if run.over:
            error = GateFailed if run.status.reason == "GateFailed" else StageError
            raise error(f"run {name}: {run.status.message}", reason=run.status.reason or None)
        if time.monotonic() > until:
            status = run.status
            raise ClusterError(
                f"run {name} is not over in time: {status.phase}, {status.stage} {status.message}"
            )
        await asyncio.sleep(_LOOK_AGAIN)


async def _address(kube: Kube, name: str, namespace: str, until: float, told: Callable[[str], None]) -> str:
    """Where the endpoint answers, once it is ready."""
    said = ""
    while True:
        body = await kube.get(ENDPOINT, name, namespace=namespace)
        status = EndpointStatus.model_validate(body.get("status") or {})
        ready = find_condition(status.conditions, READY)
        if ready is not None and ready.status == "True":
            return status.address
        why = f"{ready.reason} {ready.message}".strip() if ready else status.phase
        if why != said:
            told(f"endpoint {name}: {why}")
            said = why
        if time.monotonic() > until:
            raise ClusterError(f"endpoint {name} is not ready in time: {why}")
        await asyncio.sleep(_LOOK_AGAIN)


async def _answered(address: str, say: str) -> Decision:
    async with AsyncClient(address, timeout=_ANSWER_SECONDS) as client:
        try:
            return await client.decide([user(say)])
        except CallFailed as error:
            raise ClusterError(f"{address} does not answer: {error}") from error
