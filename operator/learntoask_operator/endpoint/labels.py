"""Names and labels of what an endpoint owns."""

from __future__ import annotations

from learntoask_operator.cache.children import ENDPOINT_LABEL, MANAGED_BY, MANAGER

COMPONENT = "app.kubernetes.io/component"
REVISION = "learntoask.io/revision"
GATEWAY, SERVER = "gateway", "policy-server"


def labels(endpoint: str, component: str, revision: str = "") -> dict[str, str]:
    return {
        MANAGED_BY: MANAGER,
        "app.kubernetes.io/part-of": "learntoask",
        COMPONENT: component,
        ENDPOINT_LABEL: endpoint,
        **({REVISION: revision} if revision else {}),
    }


def selector(endpoint: str, component: str, revision: str = "") -> dict[str, str]:
    """The labels that pods are found by; the others may change."""
    chosen = {ENDPOINT_LABEL: endpoint, COMPONENT: component}
    return {**chosen, REVISION: revision} if revision else chosen


def gateway_name(endpoint: str) -> str:
    return f"{endpoint}-gateway"


def servers_name(endpoint: str) -> str:
    """Headless Service of the policy servers, and their PodDisruptionBudget."""
    return f"{endpoint}-policy"


def revision_name(endpoint: str, revision: str) -> str:
    return f"{endpoint}-{revision}"
