"""What people ask of a run in a cluster, as patches of the resource. Pure."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import RERUN_ANNOTATION, RETRY_ANNOTATION
from learntoask.core.stages.graph import RESOLVE, resolve_stage


def suspended(suspend: bool) -> Json:
    return {"spec": {"suspend": suspend}}


def rerun(stage: str, *, word: str) -> Json:
    """Compute `stage` and what reads from it anew; another `word` makes that happen once more. Raises InputError naming
    the stages where there is none of that name."""
    name = stage if stage == RESOLVE else resolve_stage(stage)
    return {"metadata": {"annotations": {RERUN_ANNOTATION: f"{name}={word}"}}}


def retried(*, word: str) -> Json:
    """Forgive the failures so far; a failed run goes on where it stopped."""
    return {"metadata": {"annotations": {RETRY_ANNOTATION: word}}}
