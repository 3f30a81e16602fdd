"""The Kubernetes API server that tests use: one they start themselves, or the one of `--kubeconfig`."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kubernetes import config
from learntoask.core.json_object import Json

from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.toolchain import ROOT, tool

CRDS = ROOT / "manifests" / "crds"
KINDS = {"learntoaskruns", "askendpoints"}
_GROUP = "/apis/learntoask.io/v1alpha1"
_SERVED_SECONDS = 30.0
_JSON = "application/json"


@dataclass
class Answer:
    status: int
    body: Json

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


@dataclass
class Cluster:
    """A cluster. `plane` is None if the tests did not start it; then no part of it may be stopped."""

    kubeconfig: Path
    plane: ControlPlane | None = None

    def request(
        self, method: str, path: str, body: Json | None = None, *, content_type: str = _JSON
    ) -> Answer:
        """Send one request and return the API server's answer, whatever its status."""
        answer = self._client.rest_client.pool_manager.request(
            method,
            self._client.configuration.host + path,
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type, "Accept": _JSON, **self._login},
            timeout=30,
        )
        body = json.loads(answer.data) if answer.data.startswith(b"{") else {"message": answer.data.decode()}
        return Answer(answer.status, body)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Run kubectl and return its standard output. Raises RuntimeError with kubectl's message."""
        command = [str(tool("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=timeout
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def install_crds(self) -> None:
        """Install the generated definitions, and return when the API server serves them."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
        deadline = time.monotonic() + _SERVED_SECONDS
        while not (self._discovered() >= KINDS and all(self._lists(kind) for kind in KINDS)):
            assert time.monotonic() < deadline, "the API server does not serve our definitions"
            time.sleep(0.05)

    def _discovered(self) -> set[str]:
        """The resources of our group that kubectl discovers."""
        resources = self.request("GET", _GROUP).body.get("resources", [])
        return {resource["name"] for resource in resources}

    def _lists(self, kind: str) -> bool:
        return self.request("GET", f"{_GROUP}/{kind}?limit=1").status == 200

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """A new namespace. It is deleted at the end, without waiting until it is gone."""
        created = self.request(
            "POST",
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        )
        assert created.status == 201, created.message
        try:
            yield name
        finally:
            self.request("DELETE", f"/api/v1/namespaces/{name}")

    @cached_property
    def _client(self) -> Any:
        return config.new_client_from_config(config_file=str(self.kubeconfig))

    @property
    def _login(self) -> dict[str, str]:
        settings = self._client.configuration.auth_settings().get("BearerToken")
        return {settings["key"]: settings["value"]} if settings and settings["value"] else {}
