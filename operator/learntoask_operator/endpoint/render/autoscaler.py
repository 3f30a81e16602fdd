"""Renders the HorizontalPodAutoscalers of an endpoint: of its policy servers and of its gateways."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.manifest import EndpointSpec
from learntoask.core.pod_contract import gateway_name
from learntoask.kube import DEPLOYMENT, ENDPOINT, Kind

from learntoask_operator.endpoint.labels import GATEWAY, SERVER, labels


def autoscalers(name: str, spec: EndpointSpec) -> list[Json]:
    """The autoscalers that the endpoint `name` asks for, without owner and namespace."""
    found = []
    if (servers := spec.autoscaling) is not None:
        # The endpoint is scaled and not a Deployment, because Deployments come and go with revisions.
        by_cpu = servers.metric == "cpu"
        metric = _cpu(servers.target) if by_cpu else _per_pod("lta_serving_in_flight", servers.target)
        found.append(
            _autoscaler(name, SERVER, (ENDPOINT, name), bounds=(servers.min, servers.max), by=metric)
        )
    if (gateways := spec.gateway.autoscaling) is not None:
        scaled = (DEPLOYMENT, gateway_name(name))
        bounds = (gateways.min, gateways.max)
        found.append(_autoscaler(name, GATEWAY, scaled, bounds=bounds, by=_cpu(gateways.target)))
    return found


def autoscaler_names(name: str) -> tuple[str, str]:
    """The names that the autoscalers of the endpoint `name` have if they exist."""
    return name, gateway_name(name)


def _autoscaler(
    endpoint: str, component: str, scaled: tuple[Kind, str], *, bounds: tuple[int, int], by: Json
) -> Json:
    kind, name = scaled
    return {
        "metadata": {"name": name, "labels": labels(endpoint, component)},
        "spec": {
            "scaleTargetRef": {"apiVersion": kind.api_version, "kind": kind.kind, "name": name},
            "minReplicas": bounds[0],
            "maxReplicas": bounds[1],
            "metrics": [by],
        },
    }


def _cpu(percent: int) -> Json:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _per_pod(metric: str, amount: int) -> Json:
    target = {"type": "AverageValue", "averageValue": str(amount)}
    return {"type": "Pods", "pods": {"metric": {"name": metric}, "target": target}}
