"""A small asynchronous client of the Kubernetes API: objects are plain dicts, errors have types, calls have deadlines.

All requests to an API server go through `Kube`, and no other package imports `kubernetes`. The client only uses the
parts of `kubernetes.aio` that read a kubeconfig or a service account, refresh tokens and open TLS connections. Its
generated models would need much memory and would drop unknown fields.

    client        Kube: begin here
    kinds         the kinds of objects, and their paths
    watch         all objects of a kind, and then their changes
    merge_patch   the difference of two objects as a JSON merge patch
    quantity      amounts of resources
    errors        the refusals of an API server
    access        address and credentials of the API server
    transport     one HTTP call, with its deadline and retries
"""

from learntoask.kube.client import Kube
from learntoask.kube.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    Unavailable,
)
from learntoask.kube.kinds import (
    CONFIG_MAP,
    CRD,
    CRON_JOB,
    DEPLOYMENT,
    ENDPOINT,
    EVENT,
    HPA,
    JOB,
    LEASE,
    NAMESPACE,
    NODE,
    PDB,
    POD,
    RUN,
    SECRET,
    SERVICE,
    Kind,
)
from learntoask.kube.merge_patch import merge_patch
from learntoask.kube.quantity import quantity
from learntoask.kube.watch import Change, follow

__all__ = [
    "CONFIG_MAP",
    "CRD",
    "CRON_JOB",
    "DEPLOYMENT",
    "ENDPOINT",
    "EVENT",
    "HPA",
    "JOB",
    "LEASE",
    "NAMESPACE",
    "NODE",
    "PDB",
    "POD",
    "RUN",
    "SECRET",
    "SERVICE",
    "AlreadyExists",
    "Change",
    "Conflict",
    "Expired",
    "Forbidden",
    "Invalid",
    "Kind",
    "Kube",
    "KubeError",
    "NotFound",
    "Unavailable",
    "follow",
    "merge_patch",
    "quantity",
]
