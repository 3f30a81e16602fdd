"""Gives a pod's process what a container would have: volumes as folders, and variables that point to them."""

from __future__ import annotations

import base64
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import LTA_PROGRESS_TOKEN, LTA_TERMINATION_LOG, TOKEN_FOLDER, TOKEN_NAME
from learntoask.kube import CONFIG_MAP, SECRET, Kind, Kube

SITE = Path(__file__).parent / "pod_site"
_TESTS = Path(__file__).parents[2]
_PATH = "/usr/local/bin:/usr/bin:/bin"
_TOKEN = f"{TOKEN_FOLDER}/{TOKEN_NAME}"


class NotHere(Exception):
    """The pod needs something that this runner does not support."""


class NotMounted(Exception):
    """A volume cannot be mounted now, in a kubelet's words."""


@dataclass(frozen=True, kw_only=True)
class PodPlace:
    """`root` stands for the container's root folder, and `address` is the pod's address on loopback. `modules` run in
    place of subcommands of `lta`."""

    root: Path
    address: str
    names: Path
    pod: Json
    modules: Mapping[str, str] = field(default_factory=dict)

    @property
    def container(self) -> Json:
        return dict(self.pod["spec"]["containers"][0])

    @property
    def termination_log(self) -> Path:
        return self.root / "termination-log"

    def command(self) -> list[str]:
        """The pod's command, with the `lta` of this interpreter."""
        given = [*self.container.get("command", []), *self.container.get("args", [])]
        if given[:1] != ["lta"]:
            raise NotHere(f"command {' '.join(given[:3])!r}: this runner knows lta only")
        module = self.modules.get(given[1]) if given[1:] else None
        program = [module] if module else ["learntoask.cli.app", *given[1:2]]
        return [sys.executable, "-m", *program, *(self._here(argument) for argument in given[2:])]

    def environment(self) -> dict[str, str]:
        given = {}
        for variable in self.container.get("env", []):
            if "value" not in variable:
                raise NotHere(f"variable {variable['name']}: this runner knows plain values only")
            given[variable["name"]] = self._here(variable["value"])
        return {
            "PATH": _PATH,
            "TMPDIR": self._here("/tmp"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(
                [str(SITE), *([str(_TESTS)] if self.modules else []), os.environ.get("PYTHONPATH", "")]
            ),  # the code under test
            "LTA_TEST_NAMES": str(self.names),
            LTA_TERMINATION_LOG: str(self.termination_log),
            LTA_PROGRESS_TOKEN: self._here(_TOKEN),
            **given,
        }

    async def furnish(self, kube: Kube) -> None:
        """Create the volumes. Raises NotMounted, NotHere, and KubeError from the API server."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        volumes = {volume["name"]: volume for volume in self.pod["spec"].get("volumes", [])}
        for mount in self.container.get("volumeMounts", []):
            folder = Path(f"{self.root}{mount['mountPath']}")
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in (await self._contents(kube, volumes[mount["name"]])).items():
                (folder / name).write_bytes(content)

    async def _contents(self, kube: Kube, volume: Json) -> Mapping[str, bytes]:
        if "emptyDir" in volume:
            return {}
        if "projected" in volume:
            sources = [
                await self._source(kube, source, volume=volume["name"])
                for source in volume["projected"]["sources"]
            ]
            return {name: content for source in sources for name, content in source.items()}
        if "secret" in volume:
            return await self._source(
                kube, {"secret": {"name": volume["secret"]["secretName"]}}, volume=volume["name"]
            )
        if "configMap" in volume:
            return await self._source(kube, volume, volume=volume["name"])
        raise NotHere(f"volume {volume['name']}: this runner has no such kind")

    async def _source(self, kube: Kube, source: Json, *, volume: str) -> Mapping[str, bytes]:
        """The files of one source of a projected volume, which is also how a volume with a single source reads."""
        if "serviceAccountToken" in source:
            asked = source["serviceAccountToken"]
            return {asked["path"]: await self._token(kube, asked)}
        if "configMap" in source:
            asked = source["configMap"]
            if asked.get("optional") and not await self._find(kube, CONFIG_MAP, asked["name"]):
                return {}
            held = await self._held(kube, CONFIG_MAP, asked["name"], volume)
            return {name: text.encode() for name, text in held.get("data", {}).items()}
        if "secret" in source:
            held = await self._held(kube, SECRET, source["secret"]["name"], volume)
            return {name: base64.b64decode(text) for name, text in held.get("data", {}).items()}
        if "downwardAPI" in source:
            return {item["path"]: self._field(item) for item in source["downwardAPI"]["items"]}
        raise NotHere(f"projected {', '.join(source)}: this runner has no such source")

    async def _held(self, kube: Kube, kind: Kind, name: str, volume: str) -> Json:
        """The object `name` that is mounted as `volume`."""
        found = await self._find(kube, kind, name)
        if found is None:
            missing = f'{kind.kind.lower()} "{name}" not found'
            raise NotMounted(f'MountVolume.SetUp failed for volume "{volume}" : {missing}')
        return found

    async def _find(self, kube: Kube, kind: Kind, name: str) -> Json | None:
        return await kube.find(kind, name, namespace=self.pod["metadata"]["namespace"])

    def _field(self, item: Json) -> bytes:
        """The value of a field of the pod such as `metadata.namespace`."""
        value = self.pod
        for part in item.get("fieldRef", {}).get("fieldPath", "").split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
        if not isinstance(value, str):
            raise NotHere(f"field of {item['path']}: this runner knows single values of the pod only")
        return value.encode()

    async def _token(self, kube: Kube, source: Json) -> bytes:
        """A token that is bound to the pod, requested as a kubelet does."""
        metadata = self.pod["metadata"]
        account = self.pod["spec"].get("serviceAccountName", "default")
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [source["audience"]] if "audience" in source else [],
                "expirationSeconds": source.get("expirationSeconds", 3600),
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
        """`value` with the container's paths and address replaced by those on this machine."""
        value = value.replace("0.0.0.0", self.address)
        mounts = [mount["mountPath"] for mount in self.container.get("volumeMounts", [])]
        known = any(f"{value}/".startswith(f"{mount}/") or mount.startswith(f"{value}/") for mount in mounts)
        return f"{self.root}{value}" if value.startswith("/") and value != "/" and known else value
