"""Test a cluster from end to end: apply a small run, wait for its endpoint, ask one question, and delete both."""

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

_POLL_SECONDS = 2.0
_ANSWER_SECONDS = 60.0
Report = Callable[[str], None]


async def run_smoke_test(
    kube: Kube, body: Json, *, say: str, keep: bool, timeout: float, report: Report
) -> Decision:
    """Apply the run `body` and return the decision of its policy on a conversation that begins with `say`.

    All of it takes at most `timeout` seconds. Run and endpoint are deleted afterwards, unless `keep`. `report` is
    called with every step.

    Raises StageError when the run fails, GateFailed when its gate refuses the policy, ClusterError when the time is up
    or the endpoint does not answer.
    """
    deadline = time.monotonic() + timeout
    async with _applied_run(kube, body, keep=keep):
        name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
        run = await _wait_for_run(kube, name, namespace, deadline, report)
        if run.status.endpoint is None:
            raise ClusterError(f"run {name} is {run.status.phase} and gave its policy to no endpoint")
        address = await _wait_for_endpoint(kube, run.status.endpoint.name, namespace, deadline, report)
        report(f"asking {address}")
        return await _ask(address, say)


@asynccontextmanager
async def _applied_run(kube: Kube, body: Json, *, keep: bool) -> AsyncIterator[None]:
    if not keep:  # an endpoint that an earlier test left would answer instead of this one's
        await _delete(kube, body)
    metadata, spec = body["metadata"], body["spec"]
    await kube.apply(RUN, body)
    try:
        yield
    finally:
        if not keep:
            with suppress(KubeError):
                await _delete(kube, {"metadata": metadata, "spec": spec})


async def _delete(kube: Kube, body: Json) -> None:
    metadata = body["metadata"]
    endpoint = (body["spec"].get("serve") or {}).get("endpoint") or metadata["name"]
    for kind, name in ((RUN, metadata["name"]), (ENDPOINT, endpoint)):
        with suppress(NotFound):
            await kube.delete(kind, name, namespace=metadata["namespace"])


async def _wait_for_run(kube: Kube, name: str, namespace: str, deadline: float, report: Report) -> ShownRun:
    """Return the run once it has succeeded."""
    reported: dict[str, str] = {}
    while True:
        run = ShownRun.of(await kube.get(RUN, name, namespace=namespace))
        for record in run.status.stages:
            if record.state != "Pending" and reported.get(record.name) != record.state:
                reported[record.name] = record.state
                report(f"{record.name}: {record.state} {record.message}".rstrip())
        if run.status.phase == "Succeeded":
            return run
        if run.over:
            error = GateFailed if run.status.reason == "GateFailed" else StageError
            raise error(f"run {name}: {run.status.message}", reason=run.status.reason or None)
        if time.monotonic() > deadline:
            status = run.status
            raise ClusterError(
                f"run {name} is not over in time: {status.phase}, {status.stage} {status.message}"
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _wait_for_endpoint(kube: Kube, name: str, namespace: str, deadline: float, report: Report) -> str:
    """Return the address of the endpoint once it is ready."""
    reported = ""
    while True:
        body = await kube.get(ENDPOINT, name, namespace=namespace)
        status = EndpointStatus.model_validate(body.get("status") or {})
        ready = find_condition(status.conditions, READY)
        if ready is not None and ready.status == "True":
            return status.address
        reason = f"{ready.reason} {ready.message}".strip() if ready else status.phase
        if reason != reported:
            report(f"endpoint {name}: {reason}")
            reported = reason
        if time.monotonic() > deadline:
            raise ClusterError(f"endpoint {name} is not ready in time: {reason}")
        await asyncio.sleep(_POLL_SECONDS)


async def _ask(address: str, say: str) -> Decision:
    async with AsyncClient(address, timeout=_ANSWER_SECONDS) as client:
        try:
            decision = await client.decide([user(say)])
        except CallFailed as error:
            raise ClusterError(f"{address} does not answer: {error}") from error
    if decision.origin == "no_server":
        raise ClusterError(f"{address} answers with the fallback: no policy server answered its gateway")
    return decision
