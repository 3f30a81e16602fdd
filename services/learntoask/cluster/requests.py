"""Patches that suspend, rerun or retry a LearnToAskRun. Pure functions."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import RERUN_ANNOTATION, RETRY_ANNOTATION
from learntoask.core.stages.graph import RESOLVE, resolve_stage


def suspend_patch(suspend: bool) -> Json:
    return {"spec": {"suspend": suspend}}


def rerun_patch(stage: str, *, token: str) -> Json:
    """Compute `stage` and all stages that depend on it again. The same `token` has an effect only once.

    Raises InputError with the names of the stages when there is no stage of that name.
    """
    name = stage if stage == RESOLVE else resolve_stage(stage)
    return {"metadata": {"annotations": {RERUN_ANNOTATION: f"{name}={token}"}}}


def retry_patch(*, token: str) -> Json:
    """Forgive all failures so far, so that a failed run continues where it stopped. The same `token` has an effect only
    once."""
    return {"metadata": {"annotations": {RETRY_ANNOTATION: token}}}
