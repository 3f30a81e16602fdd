"""The rollout of an AskEndpoint, and the patches that steer it. Pure functions."""

from __future__ import annotations

from typing import Literal

from learntoask.core.errors import InputError
from learntoask.core.json_object import Json
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.pod_contract import (
    ROLLOUT_JUDGED_ANNOTATION,
    ROLLOUT_ORDER_ANNOTATION,
    ROLLOUT_PAUSED_ANNOTATION,
)
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.core.status.rollout import JudgedPairs, RolloutFile


def rollout_in(body: Json) -> RolloutFile:
    """Return the rollout of the endpoint `body`. Raises InputError if it has tried no policy."""
    strategy = body["spec"].get("rollout", {}).get("strategy", {})
    state = EndpointStatus.model_validate(body.get("status") or {}).rollout
    if state is None:
        name, mode = body["metadata"]["name"], strategy.get("mode", "replace")
        raise InputError(
            f"endpoint {name} has tried no policy (spec.rollout.strategy.mode is {mode}); the next one is tried with "
            "mode shadow, canary or ab"
        )
    return RolloutFile(strategy=Strategy.model_validate(strategy), state=state)


def steering_patch(*, paused: bool, id: str, order: Literal["promote", "abort"] | None) -> Json:
    """Return a merge patch that pauses or resumes the rollout `id`, or ends it by an `order`.

    Annotations are used because GitOps tools leave those alone that they do not know.
    """
    annotations = {
        ROLLOUT_PAUSED_ANNOTATION: "true" if paused else None,
        ROLLOUT_ORDER_ANNOTATION: f"{order} {id}" if order else None,
    }
    return {"metadata": {"annotations": annotations}}


def judged_patch(judged: JudgedPairs) -> Json:
    """Return a merge patch that tells the operator what people said about copies."""
    return {"metadata": {"annotations": {ROLLOUT_JUDGED_ANNOTATION: judged.model_dump_json()}}}
