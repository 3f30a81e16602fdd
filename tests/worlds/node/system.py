"""The installed system as its people see it: helm, kubectl, lta on a laptop, and clients in pods."""

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
"""`spec.pods` of runs: two stages at once, beside servers, on a node of two processors."""
_VALUES: Json = {
    "image": {"pullPolicy": "Never"},
    "test": {"pods": SMALL},
    "workloads": {"user": 34567},  # some user: images run as any
    "cleanup": {"schedule": "0 0 1 1 *"},  # made to work by hand
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
        """What a cluster has before the chart comes: a namespace at the strictest level, and a volume."""
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
        """`helm install` or `upgrade` with the values of this node; returns what it says when all is ready."""
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
        """What the command prints on a laptop that reaches the cluster."""
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
        """Of the store, as the chart has generated them."""
        held = self.get("secret", f"{RELEASE}-store")["data"]
        return {name: base64.b64decode(value).decode() for name, value in held.items()}

    def shown(self) -> str:
        """Everything that people see who may not read Secrets: objects, Events, logs, values of the release."""
        objects = "pods,jobs,cronjobs,deployments,statefulsets,configmaps,events,ltar,askep"
        parts = [self.kubectl("get", objects, "--output=yaml"), self.helm("get", "values", RELEASE, "--all")]
        for log in (self.node.logs / "pods").rglob("*.log"):
            parts.append(log.read_text(errors="replace"))
        return "\n".join(parts)

    def memory(self) -> dict[str, float]:
        """MiB that each pod of the release works with, as its kubelet counts."""
        told = self.node.plane.kubectl("get", "--raw", f"/api/v1/nodes/{NAME}/proxy/stats/summary")
        return {
            one["podRef"]["name"]: one["memory"]["workingSetBytes"] / 2**20
            for one in json.loads(told)["pods"]
            if one["podRef"]["namespace"] == PLACE and "memory" in one
        }

    def run_status(self, run: str) -> Json:
        return dict(self.get("learntoaskrun", run).get("status", {}))

    def stage(self, run: str, name: str) -> Json:
        return next((one for one in self.run_status(run).get("stages", ()) if one["name"] == name), {})

    def until(self, what: str, condition: Callable[[], Any], *, seconds: float, pause: float = 1.0) -> Any:
        """What `condition` returns when it is something. Raises AssertionError with a look at the namespace."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s\n{self.look()}"
            time.sleep(pause)
        return found

    def look(self) -> str:
        """What is there, what happened last, and the last words of what failed."""
        parts = [
            self.kubectl("get", "ltar,askep,deploy,jobs,pods", "--output=wide"),
            self.kubectl("get", "events", "--sort-by=.lastTimestamp")[-2500:],
            self.kubectl("logs", f"deployment/{RELEASE}-operator", "--all-pods", "--tail=10"),
        ]
        for pod in self.get("pods")["items"]:
            states = pod["status"].get("containerStatuses", [{}])
            if pod["status"].get("phase") != "Succeeded" and not all(one.get("ready") for one in states):
                try:
                    parts.append(self.kubectl("logs", pod["metadata"]["name"], "--tail=10"))
                except RuntimeError as error:
                    parts.append(str(error))
        return "\n\n".join(parts)

    def start_python(
        self, name: str, script: str, *, image: str = IMAGES["services"], user: int = 23456
    ) -> None:
        """A pod, of some user, that runs `script`."""
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
            "resources": {"requests": {"cpu": "300m"}},  # else a busy node gives clients nothing
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
        """What the pod printed. Raises AssertionError where it failed."""
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
