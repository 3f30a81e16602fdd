"""Where a pod's process finds what its container would: volumes as folders, and variables that point there."""

from __future__ import annotations

import base64
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.json_object import Json
from learntoask.kube import CONFIG_MAP, SECRET, Kube

SITE = Path(__file__).parent / "pod_site"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_TOKEN = "/var/run/secrets/learntoask/progress/token"


class NotHere(Exception):
    """The pod asks for something that this runner has not."""


@dataclass(frozen=True, kw_only=True)
class PodPlace:
    """`root` stands for the container's root folder; `address` is the pod's own on loopback."""

    root: Path
    address: str
    names: Path
    pod: Json

    @property
    def container(self) -> Json:
        return dict(self.pod["spec"]["containers"][0])

    @property
    def termination_log(self) -> Path:
        return self.root / "termination-log"

    def command(self) -> list[str]:
        """`lta` is this interpreter's."""
        given = [*self.container.get("command", []), *self.container.get("args", [])]
        if given[0] != "lta":
            raise NotHere(f"command {given[0]!r}: this runner knows lta only")
        return [sys.executable, "-m", "learntoask.cli.app", *(self._here(one) for one in given[1:])]

    def environment(self) -> dict[str, str]:
        given = {}
        for one in self.container.get("env", []):
            if "value" not in one:
                raise NotHere(f"variable {one['name']}: this runner knows plain values only")
            given[one["name"]] = self._here(one["value"])
        return {
            "PATH": _PATH,
            "TMPDIR": self._here("/tmp"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(SITE),
            "LTA_TEST_NAMES": str(self.names),
            "LTA_TERMINATION_LOG": str(self.termination_log),
            "LTA_PROGRESS_TOKEN": self._here(_TOKEN),
            **given,
        }

    async def furnish(self, kube: Kube) -> None:
        """Make the volumes. Raises NotHere and what the API server answers."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        volumes = {one["name"]: one for one in self.pod["spec"].get("volumes", [])}
        for mount in self.container.get("volumeMounts", []):
            folder = Path(f"{self.root}{mount['mountPath']}")
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in (await self._contents(kube, volumes[mount["name"]])).items():
                (folder / name).write_bytes(content)

    async def _contents(self, kube: Kube, volume: Json) -> Mapping[str, bytes]:
        namespace = self.pod["metadata"]["namespace"]
        if "emptyDir" in volume:
            return {}
        if "configMap" in volume:
            held = await kube.get(CONFIG_MAP, volume["configMap"]["name"], namespace=namespace)
            return {name: text.encode() for name, text in held.get("data", {}).items()}
        if "secret" in volume:
            held = await kube.get(SECRET, volume["secret"]["secretName"], namespace=namespace)
            return {name: base64.b64decode(text) for name, text in held.get("data", {}).items()}
        if "projected" in volume:
            sources = [one["serviceAccountToken"] for one in volume["projected"]["sources"]]
            return {one["path"]: await self._token(kube, one) for one in sources}
        raise NotHere(f"volume {volume['name']}: this runner has no such kind")

    async def _token(self, kube: Kube, source: Json) -> bytes:
        """As a kubelet asks for it: bound to the pod."""
        metadata = self.pod["metadata"]
        account = self.pod["spec"].get("serviceAccountName", "default")
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [source["audience"]],
                "expirationSeconds": source["expirationSeconds"],
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        }
        path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token"
        made = await kube._transport.call("POST", path, body=request)
        return str(made["status"]["token"]).encode()

    def _here(self, value: str) -> str:
        """`value` with the container's paths and its address as they are on this machine."""
        value = value.replace("0.0.0.0", self.address)
        mounts = [mount["mountPath"] for mount in self.container.get("volumeMounts", [])]
        known = any(f"{value}/".startswith(f"{one}/") or one.startswith(f"{value}/") for one in mounts)
        return f"{self.root}{value}" if value.startswith("/") and value != "/" and known else value
