"""Runs in a namespace of a real API server, with the real operator; kwok simulates the pods."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from learntoask.core.json_object import Json

from worlds.cluster.applied_manifests import RUN, changed, collection, manifest, stored
from worlds.cluster.cluster import Cluster
from worlds.cluster.operator_process import calls

OUTCOME, SECONDS = "test.learntoask.io/outcome", "test.learntoask.io/seconds"
STAGES = ("resolve", "fetch", "prepare", "label", "grader", "sft", "grpo", "evaluate", "gate", "serve")
OPERATOR_FLAGS = (
    "--store-uri=s3://artefacts/lta",
    "--listen=127.0.0.1",
    "--health-port=0",
    "--metrics-port=0",
    "--progress-port=0",
    "--lease-time=8s",  # a busy machine may delay a renewal, and an operator that loses the Lease ends
    "--lease-renewal=2s",
)
PATIENCE = 240.0


def until(condition: Callable[[], Any], *, what: str | Callable[[], str], patience: float = PATIENCE) -> Any:
    """Wait for the first true value of `condition` and return it. Fails naming `what` it waited for."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s for {what if isinstance(what, str) else what()}")
        time.sleep(0.05)
    return value


@dataclass
class Runs:
    cluster: Cluster
    namespace: str

    def apply(
        self, name: str = "one", *, pods: dict[str, dict[str, str]] | None = None, **fields: Any
    ) -> Json:
        """Create a run. `pods` maps stages (or `all`) to pod annotations, the other fields are paths below `spec`."""
        spec = RUN
        for path, value in fields.items():
            spec = changed(spec, path.replace("__", "."), value)
        for stage, notes in (pods or {}).items():
            spec = changed(spec, f"pods.{stage}.annotations", notes)
        return stored(self.cluster, manifest("LearnToAskRun", spec, name=name, namespace=self.namespace))

    def get(self, name: str = "one") -> Json:
        answer = self.cluster.request("GET", f"{collection('LearnToAskRun', self.namespace)}/{name}")
        return answer.body if answer.status == 200 else {}

    def status(self, name: str = "one") -> Json:
        return dict(self.get(name).get("status", {}))

    def stage(self, stage: str, name: str = "one") -> Json:
        records = self.status(name).get("stages", ())
        return next((record for record in records if record["name"] == stage), {})

    def set(self, name: str = "one", **fields: Any) -> None:
        """Change fields; their names are paths below `spec`."""
        patch: Json = {}
        for path, value in fields.items():
            patch = changed(patch, f"spec.{path.replace('__', '.')}", value)
        self._patch(name, patch)

    def annotate(self, name: str = "one", **annotations: str) -> None:
        """Add annotations `learntoask.io/…`."""
        named = {f"learntoask.io/{key}": value for key, value in annotations.items()}
        self._patch(name, {"metadata": {"annotations": named}})

    def delete(self, name: str = "one") -> None:
        self.cluster.request("DELETE", f"{collection('LearnToAskRun', self.namespace)}/{name}")

    def wait(
        self, condition: Callable[[Json], Any], name: str = "one", *, patience: float = PATIENCE
    ) -> Json:
        """Wait until the status fulfils `condition`, and return it."""
        deadline = time.monotonic() + patience
        while not condition(status := self.status(name)):
            assert time.monotonic() < deadline, f"run {name} stays at {status}\n{self._children(name)}"
            time.sleep(0.1)
        return status

    def _children(self, name: str) -> str:
        """The states of the run's Jobs and pods, for the message of a failed test."""
        kinds = {kind: self.objects(kind, of=name) for kind in ("jobs", "pods")}
        return "\n".join(
            f"{kind}/{each['metadata']['name']}: {each.get('status')}"
            for kind, objects in kinds.items()
            for each in objects
        )

    def wait_phase(self, phase: str, name: str = "one", *, patience: float = PATIENCE) -> Json:
        return self.wait(lambda status: status.get("phase") == phase, name, patience=patience)

    def objects(self, kind: str, *, of: str | None = None) -> list[Json]:
        """The operator's objects of a kind such as `jobs` or `pods`, of the run `of` if one is given."""
        groups = {"jobs": "/apis/batch/v1", "deployments": "/apis/apps/v1"}
        selector = f"learntoask.io/run={of}" if of else "app.kubernetes.io/managed-by=learntoask-operator"
        path = f"{groups.get(kind, '/api/v1')}/namespaces/{self.namespace}/{kind}"
        return list(self.cluster.request("GET", f"{path}?labelSelector={selector}").body["items"])

    def attempts(self, name: str = "one") -> list[tuple[str, int]]:
        """Stage and attempt of every Job that was ever created for the run, from the audit log."""
        assert self.cluster.plane is not None
        made = []
        for call in calls(self.cluster.plane.audit_log):
            if (call.verb, call.resource, call.namespace, call.status) == (
                "create",
                "jobs",
                self.namespace,
                201,
            ):
                run, stage, _, attempt = call.name.rsplit("-", 3)
                made += [(stage, int(attempt))] if run == name else []
        return sorted(made)

    def _patch(self, name: str, patch: Json) -> None:
        path = f"{collection('LearnToAskRun', self.namespace)}/{name}"
        answer = self.cluster.request("PATCH", path, patch, content_type="application/merge-patch+json")
        assert answer.status == 200, answer.message
