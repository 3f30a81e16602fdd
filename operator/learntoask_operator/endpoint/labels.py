"""Labels and names of the objects that an endpoint owns."""

from __future__ import annotations

from learntoask.core.pod_contract import ENDPOINT_LABEL, REVISION_LABEL

from learntoask_operator.ownership import COMPONENT, common_labels

GATEWAY, SERVER = "gateway", "policy-server"


def labels(endpoint: str, component: str, revision: str = "") -> dict[str, str]:
    return {
        **common_labels(component),
        ENDPOINT_LABEL: endpoint,
        **({REVISION_LABEL: revision} if revision else {}),
    }


def selector(endpoint: str, component: str, revision: str = "") -> dict[str, str]:
    """The labels that select pods. They never change, unlike the others."""
    chosen = {ENDPOINT_LABEL: endpoint, COMPONENT: component}
    return {**chosen, REVISION_LABEL: revision} if revision else chosen


def servers_name(endpoint: str) -> str:
    """Name of the headless Service of the policy servers, and of their PodDisruptionBudget."""
    return f"{endpoint}-policy"


def canary_name(endpoint: str) -> str:
    """Name of the headless Service of the servers of a policy that is tried."""
    return f"{endpoint}-canary"


def rollout_name(endpoint: str) -> str:
    """Name of the ConfigMap with the rollout, which gateways follow."""
    return f"{endpoint}-rollout"


def revision_name(endpoint: str, revision: str) -> str:
    return f"{endpoint}-{revision}"
