"""The kinds of objects that are read or written, and their URL paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of object."""

    group: str  # "" for the core group
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """Return the URL path of all objects, of those in `namespace`, of one object, or of its subresource."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        parts = [root + scope, self.plural, *(part for part in (name, subresource) if part)]
        return "/".join(parts)


RUN = Kind(group="learntoask.io", version="v1alpha1", plural="learntoaskruns", kind="LearnToAskRun")
ENDPOINT = Kind(group="learntoask.io", version="v1alpha1", plural="askendpoints", kind="AskEndpoint")
JOB = Kind(group="batch", version="v1", plural="jobs", kind="Job")
CRON_JOB = Kind(group="batch", version="v1", plural="cronjobs", kind="CronJob")
POD = Kind(group="", version="v1", plural="pods", kind="Pod")
SERVICE = Kind(group="", version="v1", plural="services", kind="Service")
CONFIG_MAP = Kind(group="", version="v1", plural="configmaps", kind="ConfigMap")
SECRET = Kind(group="", version="v1", plural="secrets", kind="Secret")
EVENT = Kind(group="", version="v1", plural="events", kind="Event")
DEPLOYMENT = Kind(group="apps", version="v1", plural="deployments", kind="Deployment")
PDB = Kind(group="policy", version="v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget")
HPA = Kind(
    group="autoscaling", version="v2", plural="horizontalpodautoscalers", kind="HorizontalPodAutoscaler"
)
LEASE = Kind(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
NAMESPACE = Kind(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
NODE = Kind(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
CRD = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)
