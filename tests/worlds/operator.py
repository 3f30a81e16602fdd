"""A cluster in memory with one run, the operator's reconciler, and what the Job controller and the kubelet do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import (
    ATTEMPT_LABEL,
    COMPLETION_INDEX_LABEL,
    LABEL_PREFIX,
    STAGE_KEY_ANNOTATION,
    STAGE_LABEL,
)
from learntoask.core.stages.graph import RESOLVE
from learntoask.core.status.run import RunStatus, StageRecord
from learntoask.kube import JOB, POD, RUN, Kind
from learntoask_operator.cache.children import ChildCache
from learntoask_operator.cache.projections import PROJECTIONS
from learntoask_operator.events import Event
from learntoask_operator.loop import Ref, ref_of
from learntoask_operator.metrics import Metrics
from learntoask_operator.run.progress import ProgressBoard
from learntoask_operator.run.reconciler import RunReconciler
from learntoask_operator.settings import Settings

from worlds.fake_kube import Crashed, FakeKube, time_of

SETTINGS = Settings(store_uri="s3://artefacts/lta", store_credentials="store-keys")
SPEC: Json = {"dataset": {"uri": "s3://logs/a.jsonl"}, "pack": {"uri": "s3://packs/a.yaml"}}
INPUTS = {
    "pack": {part: f"pack-{part}" for part in ("logs", "labelling", "policy", "grading", "judging", "whole")},
    "files": {"dataset": "d" * 64},
}


class PostedEvents:
    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []

    def post(self, about: Json, event: Event) -> None:
        self.posted.append((event.reason, event.message))

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.posted]


class World:
    """`watch` delivers what changed, and `operate` reconciles once, with what was delivered."""

    def __init__(
        self, spec: Json | None = None, *, name: str = "clinic", settings: Settings = SETTINGS
    ) -> None:
        self.now = 1_700_000_000.0
        self.kube = FakeKube(lambda: self.now)
        self.events = PostedEvents()
        self.settings, self.ref = settings, Ref(kind=RUN, namespace="default", name=name)
        metadata = {"name": name, "namespace": "default"}
        self.kube.put(RUN, {"metadata": metadata, "spec": {**SPEC, **(spec or {})}})
        self.wake_at: float | None = None
        self._runner = asyncio.Runner()
        self.restart()

    # --- the operator ---
    def restart(self) -> None:
        """Start a new operator process, which remembers nothing and lists all objects."""
        self.children = ChildCache(PROJECTIONS, changed=lambda ref: None)
        self.kube.events.clear()
        self._seen: Json | None = None
        for kind in PROJECTIONS:
            self.children.listed(kind, None, self.kube.all(kind))
        for body in self.kube.all(RUN):
            self._observed(RUN, body)
        self.progress = ProgressBoard(wake=lambda ref: None, clock=lambda: self.now)
        self.reconciler = RunReconciler(
            kube=self.kube,  # type: ignore[arg-type]
            children=self.children,
            events=self.events,  # type: ignore[arg-type]
            progress=self.progress,
            settings=self.settings,
            metrics=Metrics(),
            observed=self._observed,
            gone=self._gone,
            clock=lambda: self.now,
        )

    def _observed(self, kind: Kind, body: Json) -> None:
        if kind != RUN or ref_of(RUN, body) != self.ref:
            return
        before = self._seen
        if before is None or int(body["metadata"]["resourceVersion"]) > int(
            before["metadata"]["resourceVersion"]
        ):
            self._seen = body

    def _gone(self, kind: Kind, body: Json) -> None:
        self._seen = None

    def watch(self, count: int | None = None) -> None:
        """Deliver the next `count` events, or all."""
        for _ in range(len(self.kube.events) if count is None else min(count, len(self.kube.events))):
            what, kind, body = self.kube.events.pop(0)
            if kind in PROJECTIONS:
                (self.children.gone if what == "DELETED" else self.children.observed)(kind, body)
            elif kind == RUN and what == "DELETED":
                self._seen = None
            elif kind == RUN:
                self._observed(kind, body)

    def operate(self, *, crash_after: int | None = None) -> bool:
        """Reconcile once. False if the operator was killed during that; it is then restarted."""
        if self._seen is None:
            return True
        self.kube.crash_after = crash_after
        try:
            self.wake_at = self._runner.run(self.reconciler.reconcile(self._seen))
        except Crashed:
            self.restart()
            return False
        finally:
            self.kube.crash_after = None
        return True

    def settle(self, *, passes: int = 60) -> None:
        """Deliver and reconcile until nothing is written any more."""
        for _ in range(passes):
            before = len(self.kube.writes)
            self.watch()
            self.operate()
            if len(self.kube.writes) == before and not self.kube.events:
                return
        raise AssertionError(f"the operator does not come to rest: {self.kube.writes[-20:]}")

    # --- people ---
    @property
    def run(self) -> Json:
        return self.kube.objects[RUN, "default", self.ref.name]

    @property
    def status(self) -> RunStatus:
        return RunStatus.model_validate(self.run.get("status", {}))

    def stage(self, name: str) -> StageRecord:
        record = self.status.record(name)
        assert record is not None, f"no record of stage {name}"
        return record

    def edit(self, **spec: Any) -> None:
        self.kube.put(RUN, {**self.run, "spec": {**self.run["spec"], **spec}})

    def annotate(self, **annotations: str) -> None:
        metadata = self.run["metadata"]
        given = {f"{LABEL_PREFIX}{name}": value for name, value in annotations.items()}
        found = {**metadata.get("annotations", {}), **given}
        self.kube.put(RUN, {**self.run, "metadata": {**metadata, "annotations": found}})

    # --- the Job controller and the kubelet ---
    def warn(self, about: Json, reason: str, message: str) -> None:
        """Post a Warning Event about a Job or a pod."""
        metadata = about["metadata"]
        self.children.warnings.observed(
            {
                "metadata": {"name": f"{metadata['name']}.{reason}", "namespace": "default"},
                "involvedObject": {"kind": about["kind"], "name": metadata["name"], "uid": metadata["uid"]},
                "reason": reason,
                "message": message,
                "lastTimestamp": time_of(self.now),
            }
        )

    def jobs(self, stage: str | None = None, *, active: bool = False) -> list[Json]:
        found = [job for job in self.kube.all(JOB) if stage in (None, job["metadata"]["labels"][STAGE_LABEL])]
        return [job for job in found if not active or not _conditions(job)]

    def pods(self, stage: str | None = None, *, alive: bool = False) -> list[Json]:
        found = [pod for pod in self.kube.all(POD) if stage in (None, pod["metadata"]["labels"][STAGE_LABEL])]
        return [pod for pod in found if not alive or pod["status"]["phase"] in ("Pending", "Running")]

    def make_pods(self) -> None:
        """Create a pod for every active Job and index that has none, as the Job controller does."""
        for job in self.jobs(active=True):
            count = job["spec"].get("completions", 1)
            uid = job["metadata"]["uid"]
            pods = [pod for pod in self.kube.all(POD) if pod["metadata"]["ownerReferences"][0]["uid"] == uid]
            have = {
                int(pod["metadata"]["labels"].get(COMPLETION_INDEX_LABEL, 0))
                for pod in pods
                if pod["status"]["phase"] != "Failed"
            }
            for index in set(range(count)) - have:
                self._make_pod(job, index, len(pods))

    def _make_pod(self, job: Json, index: int, made: int) -> None:
        template = job["spec"]["template"]
        name = f"{job['metadata']['name']}-{index}-{made}"
        labels = {**template["metadata"]["labels"], COMPLETION_INDEX_LABEL: str(index)}
        owner = {
            "kind": "Job",
            "name": job["metadata"]["name"],
            "uid": job["metadata"]["uid"],
            "controller": True,
        }
        metadata = {"name": name, "namespace": "default", "labels": labels, "ownerReferences": [owner]}
        creating = {"name": "stage", "state": {"waiting": {"reason": "ContainerCreating"}}}
        status = {"phase": "Pending", "containerStatuses": [creating]}
        self.kube.put(POD, {"metadata": metadata, "spec": template["spec"], "status": status})

    def begin(self, pod: Json) -> None:
        state = {"running": {"startedAt": time_of(self.now)}}
        self._pod(pod, "Running", state)

    def succeed(self, pod: Json, **words: Any) -> None:
        """Let the pod succeed; its Job is complete once all its pods have succeeded."""
        stage, key = pod["metadata"]["labels"][STAGE_LABEL], self._key(pod)
        said = (
            {"inputs": INPUTS} if stage == RESOLVE else {"output": f"output of {key}", "summary": {}, **words}
        )
        self._end(pod, "Succeeded", 0, json.dumps(said))
        job = self.kube.job_of(pod)
        if job is not None and all(other["status"]["phase"] == "Succeeded" for other in self._pods_of(job)):
            self._condition(job, "Complete")

    def fail(self, pod: Json, *, reason: str = "Broken", retryable: bool = True, code: int = 1) -> None:
        said = {"reason": reason, "message": f"{reason} it is", "retryable": retryable}
        self._end(pod, "Failed", code, json.dumps(said))
        self._fail_job(pod)

    def evict(self, pod: Json) -> None:
        """Evict the pod. The Job controller replaces a single pod; of several workers the Job fails."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "drained",
        }
        self._end(pod, "Failed", 143, "", conditions=[condition])
        job = self.kube.job_of(pod)
        if job is not None:
            action = job["spec"]["podFailurePolicy"]["rules"][0]["action"]
            if action == "FailJob":
                self._fail_job(pod)

    def finish_deleted(self) -> None:
        """Let pods end that were told to end."""
        for pod in self.kube.all(POD):
            if "deletionTimestamp" in pod["metadata"]:
                self.kube.remove(POD, pod)

    def go(self, stage: str, **words: Any) -> None:
        """Let the stage's pods run and succeed."""
        self.make_pods()
        for pod in self.pods(stage, alive=True):
            self.begin(pod)
            self.succeed(self.kube.objects[POD, "default", pod["metadata"]["name"]], **words)

    def run_to_end(self, **words: Any) -> None:
        for _ in range(40):
            self.settle()
            if self.status.finished:
                return
            for job in self.jobs(active=True):
                self.go(
                    job["metadata"]["labels"][STAGE_LABEL],
                    **words.get(job["metadata"]["labels"][STAGE_LABEL], {}),
                )
        raise AssertionError(f"the run does not end: {self.status.phase} {self.status.message}")

    def _pods_of(self, job: Json) -> list[Json]:
        uid = job["metadata"]["uid"]
        return [pod for pod in self.kube.all(POD) if pod["metadata"]["ownerReferences"][0]["uid"] == uid]

    def _key(self, pod: Json) -> str:
        job = self.kube.job_of(pod)
        return job["metadata"]["annotations"][STAGE_KEY_ANNOTATION] if job else "gone"

    def _pod(self, pod: Json, phase: str, state: Json, **more: Any) -> None:
        container = {"name": "stage", "state": state, "restartCount": 0, "ready": phase == "Running"}
        status = {"phase": phase, "startTime": time_of(self.now), "containerStatuses": [container], **more}
        self.kube.put(POD, {**pod, "status": status})

    def _end(self, pod: Json, phase: str, code: int, message: str, **more: Any) -> None:
        before = self.kube.objects[POD, "default", pod["metadata"]["name"]]["status"]
        began = before.get("containerStatuses", [{}])[0].get("state", {}).get("running", {}).get("startedAt")
        ended = {
            "exitCode": code,
            "message": message,
            "startedAt": began or time_of(self.now),
            "finishedAt": time_of(self.now),
        }
        self._pod(pod, phase, {"terminated": ended}, **more)

    def _fail_job(self, pod: Json) -> None:
        job = self.kube.job_of(pod)
        if job is not None:
            for other in self._pods_of(job):
                if other["status"]["phase"] in ("Pending", "Running"):
                    self._end(other, "Failed", 137, "")
            self._condition(job, "Failed", reason="BackoffLimitExceeded", message="Job has reached its limit")

    def _condition(self, job: Json, type: str, **more: str) -> None:
        at = time_of(self.now)
        condition = {"type": type, "status": "True", "lastTransitionTime": at, **more}
        status = {**job.get("status", {}), "conditions": [condition]}
        self.kube.put(JOB, {**job, "status": status})


def attempt_of(job: Json) -> int:
    return int(job["metadata"]["labels"][ATTEMPT_LABEL])


def _conditions(job: Json) -> list[Json]:
    return job.get("status", {}).get("conditions", [])
