"""The installed system as its users see it: through helm, kubectl, lta on a laptop, and clients in pods."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from learntoask.core.json_object import Json

from worlds.cluster.toolchain import ROOT, tool
from worlds.node.node import NAME, Node, small_image
from worlds.node.phases import Phases

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
IMAGES = {
    name: f"docker.io/learntoask/{name}:{VERSION}"
    for name in ("operator", "services", "trainer", "policy-server")
}
MINIO = "docker.io/learntoask/minio:1"
CHART = ROOT / "charts" / "learntoask"
RELEASE, PLACE = "learntoask", "learntoask"
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
_CLASS = "e2e"
SMALL: Json = {"all": {"resources": {"requests": {"cpu": "100m", "memory": "512Mi"}}}}
"""`spec.pods` of runs, so that two stages and the servers fit on a node with two processors."""
_VALUES: Json = {
    "image": {"registry": "docker.io", "pullPolicy": "Never"},
    "test": {"pods": SMALL},
    "workloads": {"user": 34567},  # an arbitrary user, because images run as any
    "cleanup": {"schedule": "0 0 1 1 *"},  # started by hand
    "minio": {
        "enabled": True,
        "image": {"repository": "docker.io/learntoask/minio", "tag": "1"},
        "command": ["/minio"],
        "persistence": {"storageClass": _CLASS, "size": "1Gi"},
    },
}


@dataclass
class System:
    node: Node
    phases: Phases
    folder: Path

    def prepare(self) -> None:
        """Create what the chart needs: a namespace at the strictest Pod Security level, and a volume."""
        small_image(MINIO, tool("minio"))
        self.node.containers.bring(MINIO)
        disk = self.folder / "disk"
        disk.mkdir()
        os.chown(disk, 65532, 65532)
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "e2e"},
            "spec": {
                "storageClassName": _CLASS,
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": str(disk), "type": "Directory"},
            },
        }
        place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE, "labels": _RESTRICTED}}
        self.apply(volume, place)

    def helm(self, *arguments: str, timeout: float = 900.0) -> str:
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.node.plane.kubeconfig),
            **{
                name: str(self.folder / "helm" / name)
                for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
            },
        }
        return _said([str(tool("helm")), *arguments, "--namespace", PLACE], environment, timeout)

    def install(self, command: str, **values: Any) -> str:
        """Run `helm install` or `upgrade` with the values of this node; return its output once all pods are ready."""
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump(_merged(_VALUES, values)))
        return self.helm(command, RELEASE, str(CHART), f"--values={file}", "--wait", "--timeout=10m")

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        return self.node.plane.kubectl("--namespace", PLACE, *arguments, stdin=stdin, timeout=timeout)

    def get(self, *what: str) -> Json:
        return dict(json.loads(self.kubectl("get", *what, "--output=json")))

    def apply(self, *objects: Json) -> None:
        self.node.plane.kubectl("apply", "-f", "-", stdin=json.dumps(_list(*objects)))

    def lta(self, *arguments: str, timeout: float = 300.0) -> str:
        """Run `lta` as on a laptop that reaches the cluster, and return its output."""
        keys = self.folder / "keys"
        if not keys.exists():
            keys.mkdir()
            for name, value in self.keys.items():
                (keys / name).write_text(value)
        address = self.get("service", f"{RELEASE}-minio")["spec"]["clusterIP"]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LTA_")},
            "KUBECONFIG": str(self.node.plane.kubeconfig),
            "LTA_STORE": "s3://learntoask/lta",
            "LTA_STORE_ENDPOINT": f"http://{address}:9000",
            "LTA_STORE_CREDENTIALS": str(keys),
            "COLUMNS": "160",
        }
        return _said([sys.executable, "-m", "learntoask.cli.app", *arguments], environment, timeout)

    @property
    def keys(self) -> dict[str, str]:
        """Keys of the store that the chart has generated."""
        held = self.get("secret", f"{RELEASE}-store")["data"]
        return {name: base64.b64decode(value).decode() for name, value in held.items()}

    def shown(self) -> str:
        """All that users without rights to Secrets can read: objects, Events, logs, values of the release."""
        objects = "pods,jobs,cronjobs,deployments,statefulsets,configmaps,events,ltar,askep"
        parts = [self.kubectl("get", objects, "--output=yaml"), self.helm("get", "values", RELEASE, "--all")]
        for log in (self.node.logs / "pods").rglob("*.log"):
            parts.append(log.read_text(errors="replace"))
        return "\n".join(parts)

    def memory(self) -> dict[str, float]:
        """Working set of each pod of the release in MiB, as the kubelet reports it."""
        told = self.node.plane.kubectl("get", "--raw", f"/api/v1/nodes/{NAME}/proxy/stats/summary")
        return {
            pod["podRef"]["name"]: pod["memory"]["workingSetBytes"] / 2**20
            for pod in json.loads(told)["pods"]
            if pod["podRef"]["namespace"] == PLACE and "memory" in pod
        }

    def run_status(self, run: str) -> Json:
        return dict(self.get("learntoaskrun", run).get("status", {}))

    def stage(self, run: str, name: str) -> Json:
        return next((stage for stage in self.run_status(run).get("stages", ()) if stage["name"] == name), {})

    def until(self, what: str, condition: Callable[[], Any], *, seconds: float, pause: float = 1.0) -> Any:
        """Wait for a true value of `condition` and return it. Raises AssertionError with the state of the namespace."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s\n{self.look()}"
            time.sleep(pause)
        return found

    def look(self) -> str:
        """The objects of the namespace, its latest Events, and the end of the logs of pods that are not ready."""
        parts = [
            self.kubectl("get", "ltar,askep,deploy,jobs,pods", "--output=wide"),
            self.kubectl("get", "events", "--sort-by=.lastTimestamp")[-2500:],
            self.kubectl("logs", f"deployment/{RELEASE}-operator", "--all-pods", "--tail=10"),
        ]
        for pod in self.get("pods")["items"]:
            states = pod["status"].get("containerStatuses", [{}])
            if pod["status"].get("phase") != "Succeeded" and not all(state.get("ready") for state in states):
                try:
                    parts.append(self.kubectl("logs", pod["metadata"]["name"], "--tail=10"))
                except RuntimeError as error:
                    parts.append(str(error))
        return "\n\n".join(parts)

    def start_python(
        self, name: str, script: str, *, image: str = IMAGES["services"], user: int = 23456
    ) -> None:
        """Start a pod that runs `script` as an arbitrary user."""
        container = {
            "name": "python",
            "image": image,
            "imagePullPolicy": "Never",
            "command": ["python", "-c", script],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            "resources": {
                "requests": {"cpu": "300m"}
            },  # otherwise a busy node gives clients no processor time
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "runAsGroup": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        }
        self.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": PLACE}, "spec": spec}
        )

    def finished_python(self, name: str, *, seconds: float = 120.0) -> str:
        """Wait for the end of the pod, and return what it printed. Raises AssertionError if it failed."""
        phase = self.until(
            f"pod {name}",
            lambda: (
                (found := self.get("pod", name)["status"].get("phase")) in ("Succeeded", "Failed") and found
            ),
            seconds=seconds,
            pause=0.3,
        )
        printed = self.kubectl("logs", name)
        assert phase == "Succeeded", printed
        self.kubectl("delete", "pod", name, "--wait=false")
        return printed


def _said(command: list[str], environment: dict[str, str], timeout: float) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=timeout
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _list(*objects: Json) -> Json:
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}


def _merged(values: Json, more: Json) -> Json:
    both = {
        name: _merged(values[name], more[name])
        for name in values.keys() & more.keys()
        if isinstance(more[name], dict)
    }
    return {**values, **more, **both}
