"""Renders and installs the chart with the real helm."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from learntoask.core.json_object import Json

from worlds.cluster.cluster import Cluster
from worlds.cluster.toolchain import ROOT, tool

CHART = ROOT / "charts" / "learntoask"
COMBINATIONS = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE, HOME = "lta-test", "learntoask-test"
REGISTRY = "registry.example/team"
"""The chart refuses to be installed without a registry."""
PREPARED = (HOME, "team-a", "team-b")
"""Namespaces that the combinations of values refer to."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VERSION = "--kube-version=1.35.0"  # without a cluster helm assumes the version that it was built with


def helm(*arguments: str, timeout: float = 120.0) -> str:
    """Run helm and return its standard output. Raises RuntimeError with helm's message."""
    done = subprocess.run(
        [str(tool("helm")), *arguments], capture_output=True, text=True, check=False, timeout=timeout
    )
    if done.returncode:
        raise RuntimeError(f"helm {' '.join(arguments)}: {done.stderr.strip()} {done.stdout.strip()}")
    return done.stdout


def rendered(*values: Path | str, chart: Path = CHART) -> list[Json]:
    """The objects of the rendered release; `values` are files, or `name=value`."""
    return [body for body in yaml.load_all(_text(values, chart), Loader=_LOADER) if body]


@cache
def _text(values: tuple[Path | str, ...], chart: Path) -> str:
    return helm("template", RELEASE, str(chart), f"--namespace={HOME}", _VERSION, *_given(values))


def of_kind(objects: list[Json], kind: str, suffix: str = "") -> list[Json]:
    return [body for body in objects if body["kind"] == kind and body["metadata"]["name"].endswith(suffix)]


def pod_templates(objects: list[Json]) -> list[Json]:
    """The pods that Deployments, StatefulSets, CronJobs and Pods would run."""
    pods = []
    for owner in objects:
        spec = owner.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        body = owner if owner["kind"] == "Pod" else spec.get("template")
        if not isinstance(body, dict) or "containers" not in body.get("spec", {}):
            continue
        namespace = owner["metadata"]["namespace"]
        metadata = {**body["metadata"], "name": f"{owner['metadata']['name']}-pod", "namespace": namespace}
        claims = [
            {
                "name": claim["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": "made-by-its-controller"},
            }
            for claim in owner["spec"].get("volumeClaimTemplates", ())
        ]
        spec = {**body["spec"], "volumes": [*body["spec"].get("volumes", ()), *claims]}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return pods


@dataclass(frozen=True)
class Release:
    """A release in a cluster."""

    cluster: Cluster
    name: str = RELEASE
    namespace: str = HOME

    def install(self, *values: Path | str, chart: Path = CHART) -> str:
        return self._run("install", self.name, str(chart), *_given(values))

    def upgrade(self, *values: Path | str, chart: Path = CHART) -> str:
        return self._run("upgrade", self.name, str(chart), *_given(values))

    def uninstall(self) -> str:
        return self._run("uninstall", self.name)

    def get(self, what: str, *flags: str) -> str:
        return self._run("get", what, self.name, *flags)

    def _run(self, *arguments: str) -> str:
        place = (f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.namespace}")
        return helm(*arguments, *place)


def _given(values: tuple[Path | str, ...]) -> list[str]:
    given = [f"--values={value}" if isinstance(value, Path) else f"--set={value}" for value in values]
    return [f"--set=image.registry={REGISTRY}", *given]
