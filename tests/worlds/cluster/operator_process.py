"""The real operator as a process on a throw-away control plane, and its requests from the API server's audit log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.processes import Recorded, start

ACCOUNT = "system:serviceaccount:learntoask:operator"
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request of the audit log. In `resource` a subresource follows a slash."""

    at: float
    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    status: int

    @property
    def writes(self) -> bool:
        return self.verb in _WRITES


@dataclass
class OperatorProcess:
    """The operator with `flags` and the rights of `ACCOUNT`."""

    plane: ControlPlane
    folder: Path
    flags: tuple[str, ...] = ()
    process: Recorded | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.folder / "operator.log"

    def start(self) -> Recorded:
        kubeconfig = self.plane.kubeconfig_of(ACCOUNT, groups=("system:serviceaccounts",))
        command = [sys.executable, "-m", "learntoask_operator", f"--kubeconfig={kubeconfig}", *self.flags]
        self.process = start(command, log=self.log, outlive=False)
        return self.process

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process = None

    def stop(self) -> None:
        """End it as a node ends a pod: by SIGTERM, and by SIGKILL if that takes too long."""
        if self.process:
            self.process.stop()
            self.process = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.alive


def calls(audit_log: Path, *, since: float = 0.0) -> Iterator[Call]:
    """The finished requests and the started watches in the log, from `since` (seconds since the epoch) on."""
    with audit_log.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return  # the API server is still writing it
            event = json.loads(line)
            call = _call(event)
            if call.at >= since and event["stage"] == (
                "ResponseStarted" if call.verb == "watch" else "ResponseComplete"
            ):
                yield call


def _call(event: dict[str, Any]) -> Call:
    about = event.get("objectRef") or {}
    subresource = f"/{about['subresource']}" if "subresource" in about else ""
    return Call(
        at=datetime.fromisoformat(event["requestReceivedTimestamp"].replace("Z", "+00:00")).timestamp(),
        user=event["user"].get("username", ""),
        verb=event["verb"],
        resource=about.get("resource", event["requestURI"].split("?")[0]) + subresource,
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        status=event.get("responseStatus", {}).get("code", 0),
    )


def allow_everything(plane: ControlPlane) -> None:
    """Give the operator's account all rights, for tests and benchmarks that are not about its rights."""
    subject = {"kind": "User", "name": ACCOUNT, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"}
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "operator-everything"},
        "subjects": [subject],
        "roleRef": role,
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
