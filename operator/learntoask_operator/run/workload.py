"""Computes which children the plan needs, which of the existing ones must go, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.pod_contract import RUN_LABEL, STAGE_KEY_ANNOTATION, service_name
from learntoask.core.stages.graph import RESOLVE, REVIEW
from learntoask.core.stages.planner import StageStatus, Start, Stop
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.run import RunInputsRecord, StageRecord
from learntoask.kube import CONFIG_MAP, DEPLOYMENT, JOB, SERVICE, Kind

from learntoask_operator.causes import refused_pods, why_waiting
from learntoask_operator.ownership import COMPONENT, is_deleting
from learntoask_operator.render.store import store_identity
from learntoask_operator.run.children import (
    Removal,
    RunChildren,
    is_active,
    removal,
    service_removals,
)
from learntoask_operator.run.labels import STORE_ANNOTATION
from learntoask_operator.run.observe import ObservedStage
from learntoask_operator.run.render import jobs, services
from learntoask_operator.run.render.config_map import config_map
from learntoask_operator.run.stage_records import RecordedPublication, pods_together
from learntoask_operator.run.status import AT_WORK, COMPUTED_ELSEWHERE
from learntoask_operator.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The run `body` with its children, and what the plan starts and stops.

    `published` maps keys to publications, `records` stages to their records; `statuses` are the plan's. `configured` is
    the ConfigMap that the run's pods mount so far.
    """

    body: Json
    spec: RunSpec
    settings: Settings
    children: RunChildren
    starts: Mapping[str, Start]
    stops: Mapping[str, Stop]
    statuses: Mapping[str, StageStatus]
    inputs: RunInputsRecord | None
    published: Mapping[str, RecordedPublication]
    records: Mapping[str, StageRecord]
    configured: str
    now: float

    @cached_property
    def held(self) -> dict[str, tuple[str, str]]:
        """Stages that wait for something outside the run, with reason and message. They do not wait for ever."""
        found = {}
        for name, start in self.starts.items():
            if why := self._unavailable_service(name):
                found[name] = ("ServiceNotReady", why)
            elif other := self._computing_elsewhere(start):
                found[name] = (
                    COMPUTED_ELSEWHERE,
                    f"{other} computes the same output, which is then used here, too",
                )
        return found

    def _unavailable_service(self, stage: str) -> str | None:
        """Why a service that the stage calls is not available.

        After startDeadline the stage starts anyway, and reports itself what it misses.
        """
        for service in services.services_for(self.spec, stage):
            deployment = service_name(self._run, service)
            existing = [
                child for child in self.children.deployments if child["metadata"]["name"] == deployment
            ]
            if not services.available(existing, deployment) and not self._too_old(existing):
                return f"Deployment {deployment} is not available yet{self._why(service, existing)}"
        return None

    def _computing_elsewhere(self, start: Start) -> str | None:
        """The Job of another run of the namespace that computes the same output for the same store.

        A Job that is not admitted, or whose pods do not run within startDeadline, is not waited for.
        """
        if start.stage == RESOLVE:
            return None
        store = store_identity(self.spec, self.settings)
        for job in self.children.computing(start.key):
            other = job["metadata"]
            near = other["namespace"] == self.body["metadata"]["namespace"]
            own = other["labels"][RUN_LABEL] == self._run
            runs = job["status"].get("ready") or not (job["spec"].get("suspend") or self._too_old([job]))
            same_store = other["annotations"].get(STORE_ANNOTATION) == store
            if near and not own and same_store and runs and is_active(job):
                return f"Job {other['name']}"
        return None

    def _too_old(self, children: Sequence[Json]) -> bool:
        """Whether one of them has existed for longer than startDeadline."""
        limit = seconds(self.spec.start_deadline)
        return any(
            self.now >= seconds_of(child["metadata"]["creationTimestamp"]) + limit for child in children
        )

    @property
    def starting(self) -> list[Start]:
        return [start for name, start in self.starts.items() if name not in self.held]

    @cached_property
    def configuration(self) -> Json | None:
        """The ConfigMap that pods mount; None if no pods are created and it exists."""
        lost = bool(self._busy and self.configured) and self.children.lacks(CONFIG_MAP, self.configured)
        return config_map(self.body, self.spec, self.settings) if self.starts or lost else None

    @property
    def configuration_name(self) -> str | None:
        return self.configuration["metadata"]["name"] if self.configuration else None

    def creates(self) -> tuple[tuple[Kind, Json], ...]:
        """What is created once because it does not exist, or does not exist any more: Jobs and what they need."""
        wanted: list[tuple[Kind, Json]] = []
        if self.configuration:
            wanted.append((CONFIG_MAP, self.configuration))
        wanted += [(SERVICE, jobs.headless_service(self.body, attempt)) for attempt in self._meeting]
        wanted += self._services()
        missing = [
            (kind, body) for kind, body in wanted if self.children.lacks(kind, body["metadata"]["name"])
        ]
        return (*missing, *((JOB, self._job(start)) for start in self.starting))

    @property
    def _meeting(self) -> list[Start]:
        """The attempts whose workers find each other by a Service: those about to start, and those that go on."""
        attempts = list(self.starting)
        for name in self._busy - set(self.starts):
            status = self.statuses[name]
            if status.key and status.state in ("Queued", "Waiting", "Running"):
                attempts.append(Start(stage=name, key=status.key, attempt=status.attempt, inputs={}))
        return [attempt for attempt in attempts if pods_together(self.spec, attempt.stage) > 1]

    def _services(self) -> list[tuple[Kind, Json]]:
        """The Deployments that stages call, each with its Service."""
        found: list[tuple[Kind, Json]] = []
        for service in sorted(self._needed):
            found.append((SERVICE, services.service(self.body, service)))
            read = {services.GRADER: services.graders_of(self.spec), REVIEW: "draw"}.get(service)
            unknown = read is not None and self.records[read].key not in self.published
            # The first reconcile with the key of a review has not written it to the record yet.
            unknown = unknown or (service == REVIEW and not self.records[REVIEW].key)
            name = service_name(self._run, service)
            if not self.inputs or unknown or not self.children.lacks(DEPLOYMENT, name):
                continue
            deployment = services.deployment(
                self.body,
                self.spec,
                service,
                inputs=self.inputs,
                published=self.published,
                records=self.records,
                configuration=self.configuration_name or self.configured,
                settings=self.settings,
            )
            found.append((DEPLOYMENT, deployment))
        return found

    def _why(self, service: str, deployments: Sequence[Json]) -> str:
        """What keeps the pods of `service` from starting, if the cluster tells it."""
        refused = (refused_pods(deployment, self.now) for deployment in deployments)
        cause = next((found for found in refused if found), None)
        if cause is None:
            pods = [
                pod
                for pod in self.children.pods
                if pod["metadata"].get("labels", {}).get(COMPONENT) == service and not is_deleting(pod)
            ]
            cause = why_waiting(pods, now=self.now)
        return f": {cause.reason}: {cause.message}" if cause else ""

    def deletes(self, seen: Mapping[str, ObservedStage]) -> tuple[Removal, ...]:
        """Jobs of attempts that the plan stops, superfluous Jobs, and services that no stage needs."""
        found: list[Removal] = []
        for name, stage in seen.items():
            found += [(JOB, job, uid) for job, uid in stage.superfluous]
            if name in self.stops:
                found += [removal(JOB, job) for job in self.children.jobs_of(name) if is_active(job)]
        keep = {service_name(self._run, service) for service in self._needed}
        found += service_removals(
            child
            for child in self.children.deployments
            if child["metadata"]["name"] not in keep or self._asks_something_else(child)
        )
        return tuple(dict.fromkeys(found))

    def _asks_something_else(self, deployment: Json) -> bool:
        """Whether it serves the page of a review that this one has superseded."""
        key = deployment["metadata"].get("annotations", {}).get(STAGE_KEY_ANNOTATION)
        return key is not None and self.records.get(REVIEW, StageRecord(name=REVIEW)).key != key

    def _job(self, start: Start) -> Json:
        assert self.configuration is not None
        return jobs.job(
            self.body,
            self.spec,
            start,
            inputs=self.inputs,
            published=self.published,
            configuration=self.configuration["metadata"]["name"],
            settings=self.settings,
        )

    @property
    def _run(self) -> str:
        return str(self.body["metadata"]["name"])

    @cached_property
    def _needed(self) -> set[str]:
        """Services that a stage calls which is at work or about to start."""
        return {service for name in self._busy for service in services.services_for(self.spec, name)}

    @cached_property
    def _busy(self) -> set[str]:
        """The stages that are at work or about to start, and that the plan does not stop."""
        busy = {name for name, stage in self.statuses.items() if stage.state in AT_WORK}
        return (busy | set(self.starts)) - set(self.stops)
