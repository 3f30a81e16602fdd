"""Kubernetes, behind one small asynchronous client: plain dicts in and out, typed errors, a deadline on every call.

Everything that talks to an API server goes through `Kube`; nothing else imports `kubernetes`. Of that package only
`kubernetes.aio` is used, and of that only what reads a kubeconfig or a pod's service account, refreshes tokens and
opens TLS connections: the generated models would cost memory and hide fields they do not know.
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
]
