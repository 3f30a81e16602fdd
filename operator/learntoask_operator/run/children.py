"""Holds the children of one run, and finds those that are to be deleted. The functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import STAGE_LABEL
from learntoask.kube import CONFIG_MAP, DEPLOYMENT, SERVICE, Kind

from learntoask_operator.ownership import is_deleting
from learntoask_operator.run.pod_messages import has_ended

Removal = tuple[Kind, str, str | None]
"""Kind, name and uid of an object to delete; without a uid, any object of that name."""


@dataclass(frozen=True, kw_only=True)
class RunChildren:
    """The children that belong to one run, as the cache has them; `computing` returns all runs' Jobs by stage key."""

    jobs: Sequence[Json] = ()
    pods: Sequence[Json] = ()
    deployments: Sequence[Json] = ()
    services: Sequence[Json] = ()
    config_maps: Sequence[Json] = ()
    computing: Callable[[str], Sequence[Json]] = lambda key: ()

    def lacks(self, kind: Kind, name: str) -> bool:
        """Whether the run has no child `name`, or only one that is being deleted."""
        named = {DEPLOYMENT: self.deployments, SERVICE: self.services, CONFIG_MAP: self.config_maps}[kind]
        return not any(child["metadata"]["name"] == name and not is_deleting(child) for child in named)

    def jobs_of(self, stage: str) -> list[Json]:
        return [job for job in self.jobs if _stage(job) == stage]

    def pods_of(self, stage: str) -> list[Json]:
        return [pod for pod in self.pods if _stage(pod) == stage]

    def work_at(self, stage: str) -> bool:
        """Whether a Job or a pod of the stage has not ended."""
        jobs, pods = self.jobs_of(stage), self.pods_of(stage)
        return any(is_active(job) for job in jobs) or any(not has_ended(pod) for pod in pods)


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
