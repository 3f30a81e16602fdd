"""What Argo CD, by our health checks, and Flux, by the rules of kstatus, see of runs and endpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from learntoask.core.json_object import Json
from learntoask.core.manifest import AskEndpoint
from learntoask.core.status.conditions import WARM_UP_FAILED
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.kube import JOB, Invalid
from learntoask_operator.endpoint.decide import EndpointDecision, decide
from learntoask_operator.endpoint.findings import Views
from learntoask_operator.endpoint.observe import ObservedEndpoint, ObservedServers
from learntoask_operator.endpoint.status import Fault, refused_status, status_of
from learntoask_operator.endpoint.trial import Target, without_trial
from lupa.lua51 import LuaRuntime
from worlds.operator import World

ARGOCD = yaml.safe_load((Path(__file__).parents[3] / "manifests" / "gitops" / "argocd-cm.yaml").read_text())


def argocd(body: Json) -> str:
    """The health that Argo CD computes: it runs the kind's script with the object as `obj`."""
    script = ARGOCD["data"][f"resource.customizations.health.learntoask.io_{body['kind']}"]
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(body, recursive=True)
    return str(lua.execute(script).status)


def kstatus(body: Json) -> str:
    """The status by kstatus (sigs.k8s.io/cli-utils): generation, then Reconciling and Stalled, then Ready."""
    status = body.get("status", {})
    if status.get("observedGeneration", body["metadata"]["generation"]) != body["metadata"]["generation"]:
        return "InProgress"
    conditions = {found["type"]: found["status"] for found in status.get("conditions", ())}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"


def succeeded(world: World) -> None:
    world.run_to_end()


def failed(world: World) -> None:
    world.settle()
    world.make_pods()
    world.begin(world.pods("resolve")[0])
    world.fail(world.pods("resolve")[0], reason="InputChanged", retryable=False)
    world.settle()


def cancelled(world: World) -> None:
    world.annotate(cancel="wrong logs")
    world.settle()


def running(world: World) -> None:
    world.settle()


def suspended(world: World) -> None:
    world.edit(suspend=True)
    world.settle()


def refused(world: World) -> None:
    world.edit(dataset={"uri": "laptop.jsonl"})
    world.settle()


def refused_job(world: World) -> None:
    world.kube.refuse = lambda verb, kind: (
        Invalid("no", status=422) if (verb, kind) == ("create", JOB) else None
    )
    world.settle()


def edited_after_its_failure(world: World) -> None:
    failed(world)
    world.edit(attempts=5)


@pytest.mark.parametrize(
    ("happens", "health", "status"),
    [
        (running, "Progressing", "InProgress"),
        (succeeded, "Healthy", "Current"),
        (failed, "Degraded", "Failed"),
        (cancelled, "Degraded", "Failed"),
        (refused, "Degraded", "Failed"),
        (refused_job, "Degraded", "Failed"),
        (suspended, "Suspended", "Current"),
        (edited_after_its_failure, "Progressing", "InProgress"),
    ],
)
def test_a_run_is_seen_as_it_is(happens: Callable[[World], None], health: str, status: str) -> None:
    world = World()
    happens(world)
    assert (argocd(world.run), kstatus(world.run)) == (health, status)


def endpoint(
    observed: ObservedEndpoint, decided: EndpointDecision | None, *, fault: Fault | None = None
) -> Json:
    body: Json = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "AskEndpoint",
        "metadata": {"name": "desk", "namespace": "n", "generation": 1},
        "spec": {"policy": {"publication": "a" * 64, "policy": "a" * 64}},
    }
    spec = AskEndpoint.model_validate({**body, "metadata": {"name": "desk"}}).spec
    after = status_of(
        EndpointStatus(),
        body,
        spec,
        decided,
        observed,
        views=Views(address="", seen={}),
        waiting="" if decided else "run clinic has published no policy yet",
        fault=fault,
        now=0.0,
    )
    return body | {"status": after.model_dump(mode="json", by_alias=True, exclude_none=True)}


def served(ready: int, **broken: Any) -> tuple[ObservedEndpoint, EndpointDecision]:
    spec = AskEndpoint.model_validate(
        {
            "apiVersion": "learntoask.io/v1alpha1",
            "kind": "AskEndpoint",
            "metadata": {"name": "desk"},
            "spec": {"policy": {"publication": "a" * 64, "policy": "a" * 64}, "replicas": 1},
        }
    ).spec
    servers = {"r": ObservedServers(wanted=1, pods=1, ready=ready)}
    decided = decide(
        trial=without_trial(Target(name="r", policy=spec.policy)),
        previous="",
        revisions=(),
        servers=servers,
        replicas=1,
        rollout=spec.rollout,
        now=0.0,
    )
    new = decided.revisions[0].model_copy(update=broken)
    decided = EndpointDecision(
        revisions=(new,), scale=decided.scale, traffic=decided.traffic, lead=decided.lead
    )
    return ObservedEndpoint(servers=servers, gateway=ObservedServers(wanted=1, pods=1, ready=1)), decided


def test_an_endpoint_is_seen_as_it_is() -> None:
    starting, warm = endpoint(*served(0)), endpoint(*served(1))
    assert (argocd(starting), kstatus(starting)) == ("Progressing", "InProgress")
    assert (argocd(warm), kstatus(warm)) == ("Healthy", "Current")
    cold = endpoint(*served(0, reason=WARM_UP_FAILED, message="out of memory"))
    assert (argocd(cold), kstatus(cold)) == ("Degraded", "Failed")
    waiting = endpoint(ObservedEndpoint(), None)
    assert (argocd(waiting), kstatus(waiting)) == ("Progressing", "InProgress")
    refused = endpoint(*served(1), fault=Fault(reason="ChildRefused", message="no"))
    assert (argocd(refused), kstatus(refused)) == ("Degraded", "Failed")
    invalid = refused_status(EndpointStatus(), waiting, "spec.replicas: no", now=0.0)
    body = waiting | {"status": invalid.model_dump(mode="json", by_alias=True, exclude_none=True)}
    assert (argocd(body), kstatus(body)) == ("Degraded", "Failed")
