"""Computes which children the plan needs, which of the existing ones must go, and what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.pod_contract import STAGE_LABEL
from learntoask.core.stages.planner import StageStatus, Start, Stop
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.run import RunInputsRecord, StageRecord
from learntoask.kube import CONFIG_MAP, DEPLOYMENT, JOB, SERVICE, Kind

from learntoask_operator.ownership import is_deleting
from learntoask_operator.run.observe import ObservedStage
from learntoask_operator.run.render import jobs, services
from learntoask_operator.run.render.config_map import config_map
from learntoask_operator.run.stage_records import RecordedPublication, pods_together
from learntoask_operator.run.status import AT_WORK
from learntoask_operator.settings import Settings

Removal = tuple[Kind, str, str | None]
"""Kind, name and uid of an object to delete; without a uid, any object of that name."""


@dataclass(frozen=True, kw_only=True)
class RunChildren:
    """The children that belong to one run, as the cache has them."""

    jobs: Sequence[Json] = ()
    pods: Sequence[Json] = ()
    deployments: Sequence[Json] = ()

    def jobs_of(self, stage: str) -> list[Json]:
        return [job for job in self.jobs if _stage(job) == stage]

    def pods_of(self, stage: str) -> list[Json]:
        return [pod for pod in self.pods if _stage(pod) == stage]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The run `body` with its children, and what the plan starts and stops.

    `published` maps keys to publications, `records` stages to their records; `statuses` are the plan's.
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
    now: float

    @cached_property
    def held(self) -> dict[str, str]:
        """Stages that wait until a service they call is available, with the message.

        After startDeadline they start anyway, and report themselves what they miss.
        """
        found = {}
        for name in self.starts:
            for service in services.services_for(self.spec, name):
                deployment = services.service_name(self._run, service)
                existing = [
                    child for child in self.children.deployments if child["metadata"]["name"] == deployment
                ]
                began = seconds_of(existing[0]["metadata"]["creationTimestamp"]) if existing else self.now
                late = self.now >= began + seconds(self.spec.start_deadline)
                if not services.available(existing, deployment) and not late:
                    found[name] = f"Deployment {deployment} is not available yet"
        return found

    @property
    def starting(self) -> list[Start]:
        return [start for name, start in self.starts.items() if name not in self.held]

    @cached_property
    def configuration(self) -> Json | None:
        """The ConfigMap that new pods mount; None if no pods are created."""
        return config_map(self.body, self.spec, self.settings) if self.starts else None

    @property
    def configuration_name(self) -> str | None:
        return self.configuration["metadata"]["name"] if self.configuration else None

    def creates(self, *, configured: str) -> tuple[tuple[Kind, Json], ...]:
        """What is created once: Jobs with what they need, and the ConfigMap unless it is `configured` already."""
        created: list[tuple[Kind, Json]] = []
        if self.configuration and self.configuration_name != configured:
            created.append((CONFIG_MAP, self.configuration))
        for start in self.starting:
            if pods_together(self.spec, start.stage) > 1:
                created.append((SERVICE, jobs.headless_service(self.body, start)))
            created.append((JOB, self._job(start)))
        return tuple(created)

    def applies(self) -> tuple[tuple[Kind, Json], ...]:
        """The Deployments and Services that stages need and that do not exist."""
        existing = {
            child["metadata"]["name"] for child in self.children.deployments if not is_deleting(child)
        }
        found: list[tuple[Kind, Json]] = []
        for service in sorted(self._needed):
            if (
                services.service_name(self._run, service) in existing
                or not self.inputs
                or not self.configuration
            ):
                continue
            deployment = services.deployment(
                self.body,
                self.spec,
                service,
                inputs=self.inputs,
                published=self.published,
                graders=self.records["grader"].key,
                configuration=self.configuration["metadata"]["name"],
                settings=self.settings,
            )
            found += [(SERVICE, services.service(self.body, service)), (DEPLOYMENT, deployment)]
        return tuple(found)

    def deletes(self, seen: Mapping[str, ObservedStage]) -> tuple[Removal, ...]:
        """Jobs of attempts that the plan stops, superfluous Jobs, and services that no stage needs."""
        found: list[Removal] = []
        for name, stage in seen.items():
            found += [(JOB, job, uid) for job, uid in stage.superfluous]
            if name in self.stops:
                found += [removal(JOB, job) for job in self.children.jobs_of(name) if is_active(job)]
        keep = {services.service_name(self._run, service) for service in self._needed}
        found += service_removals(
            child for child in self.children.deployments if child["metadata"]["name"] not in keep
        )
        return tuple(dict.fromkeys(found))

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
        busy = {name for name, stage in self.statuses.items() if stage.state in AT_WORK}
        busy = (busy | set(self.starts)) - set(self.stops)
        return {service for name in busy for service in services.services_for(self.spec, name)}


def service_removals(deployments: Iterable[Json]) -> list[Removal]:
    """The Deployments that are not being deleted yet, each with the Service of its name."""
    found: list[Removal] = []
    for deployment in deployments:
        if not is_deleting(deployment):
            found += [removal(DEPLOYMENT, deployment), (SERVICE, deployment["metadata"]["name"], None)]
    return found


def removal(kind: Kind, child: Json) -> Removal:
    return kind, child["metadata"]["name"], child["metadata"]["uid"]


def is_active(job: Json) -> bool:
    """Whether the Job has neither ended nor is being deleted."""
    ended = any(
        condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
        for condition in job["status"].get("conditions", ())
    )
    return not ended and not is_deleting(job)


def _stage(child: Json) -> str:
    return str(child["metadata"].get("labels", {}).get(STAGE_LABEL, ""))
