"""Which children a plan wants, which of those that are there it does not, and what they are. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.stages.planner import StageStatus, Start, Stop
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.run import RunInputsRecord, StageRecord
from learntoask.kube import CONFIG_MAP, DEPLOYMENT, JOB, SERVICE, Kind

from learntoask_operator.run import stage_records as records
from learntoask_operator.run import status as story
from learntoask_operator.run.labels import STAGE
from learntoask_operator.run.observe import Seen
from learntoask_operator.run.render import config_map as configuration
from learntoask_operator.run.render import jobs, services
from learntoask_operator.settings import Settings

Removal = tuple[Kind, str, str | None]
"""Kind, name and uid; without a uid whatever has the name."""


@dataclass(frozen=True, kw_only=True)
class Children:
    """The run's own children as the watches know them."""

    jobs: Sequence[Json] = ()
    pods: Sequence[Json] = ()
    deployments: Sequence[Json] = ()

    def jobs_of(self, stage: str) -> list[Json]:
        return [one for one in self.jobs if _stage(one) == stage]

    def pods_of(self, stage: str) -> list[Json]:
        return [one for one in self.pods if _stage(one) == stage]


@dataclass(frozen=True)
class Workload:
    """What a run has (`children`), and what it starts and stops."""

    body: Json
    spec: RunSpec
    settings: Settings
    children: Children
    starts: Mapping[str, Start]
    stops: Mapping[str, Stop]
    statuses: Mapping[str, StageStatus]
    inputs: RunInputsRecord | None
    published: Mapping[str, records.Known]
    known: Mapping[str, StageRecord]
    now: float

    @cached_property
    def held(self) -> dict[str, str]:
        """Stages that wait for a service they ask, with the reason. After startDeadline they start all the same, and
        say themselves what they miss."""
        found = {}
        for name in self.starts:
            for service in services.needed(self.spec, name):
                deployment = services.service_name(self._run, service)
                there = [one for one in self.children.deployments if one["metadata"]["name"] == deployment]
                began = seconds_of(there[0]["metadata"]["creationTimestamp"]) if there else self.now
                late = self.now >= began + seconds(self.spec.start_deadline)
                if not services.available(there, deployment) and not late:
                    found[name] = f"Deployment {deployment} is not available yet"
        return found

    @property
    def starting(self) -> list[Start]:
        return [start for name, start in self.starts.items() if name not in self.held]

    @cached_property
    def configuration(self) -> Json | None:
        """The ConfigMap that new pods mount; None while none are made."""
        return configuration.config_map(self.body, self.spec, self.settings) if self.starts else None

    @property
    def configuration_name(self) -> str | None:
        return self.configuration["metadata"]["name"] if self.configuration else None

    def creates(self, *, configured: str) -> tuple[tuple[Kind, Json], ...]:
        """What is made once: the ConfigMap unless it is the one `configured` before, and Jobs with what they need."""
        made: list[tuple[Kind, Json]] = []
        if self.configuration and self.configuration_name != configured:
            made.append((CONFIG_MAP, self.configuration))
        for start in self.starting:
            if records.pods_together(self.spec, start.stage) > 1:
                made.append((SERVICE, jobs.headless_service(self.body, start)))
            made.append((JOB, self._job(start)))
        return tuple(made)

    def applies(self) -> tuple[tuple[Kind, Json], ...]:
        """Deployments and Services that are wanted and not there."""
        there = {one["metadata"]["name"] for one in self.children.deployments if not going_away(one)}
        found: list[tuple[Kind, Json]] = []
        for service in sorted(self._wanted):
            if (
                services.service_name(self._run, service) in there
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
                graders=self.known["grader"].key,
                configuration=self.configuration["metadata"]["name"],
                settings=self.settings,
            )
            found += [(SERVICE, services.service(self.body, service)), (DEPLOYMENT, deployment)]
        return tuple(found)

    def deletes(self, seen: Mapping[str, Seen]) -> tuple[Removal, ...]:
        """Jobs of attempts that are to end, Jobs that nobody asked for, and services that no stage needs."""
        found: list[Removal] = []
        for name, one in seen.items():
            found += [(JOB, job, uid) for job, uid in one.superfluous]
            if name in self.stops:
                found += [removal(JOB, job) for job in self.children.jobs_of(name) if active(job)]
        keep = {services.service_name(self._run, service) for service in self._wanted}
        found += services_gone(
            one for one in self.children.deployments if one["metadata"]["name"] not in keep
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
    def _wanted(self) -> set[str]:
        """Services that a stage needs which is at work or about to be."""
        busy = {name for name, status in self.statuses.items() if status.state in story.AT_WORK}
        busy = (busy | set(self.starts)) - set(self.stops)
        return {service for name in busy for service in services.needed(self.spec, name)}


def services_gone(deployments: Any) -> list[Removal]:
    """Removal of Deployments and of the Services of their names."""
    found: list[Removal] = []
    for one in deployments:
        if not going_away(one):
            found += [removal(DEPLOYMENT, one), (SERVICE, one["metadata"]["name"], None)]
    return found


def removal(kind: Kind, child: Json) -> Removal:
    return kind, child["metadata"]["name"], child["metadata"]["uid"]


def going_away(child: Json) -> bool:
    return "deletionTimestamp" in child["metadata"]


def active(job: Json) -> bool:
    ended = any(
        one["type"] in ("Complete", "Failed") and one["status"] == "True"
        for one in job["status"].get("conditions", ())
    )
    return not ended and not going_away(job)


def _stage(child: Json) -> str:
    return str(child["metadata"].get("labels", {}).get(STAGE, ""))
