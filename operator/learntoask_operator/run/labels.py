"""Names, labels and annotations that tie children to their run, and people to the operator."""

from __future__ import annotations

from learntoask.core.json_object import Json

from learntoask_operator.cache.children import MANAGED_BY, MANAGER, RUN_LABEL

PART_OF, COMPONENT = "app.kubernetes.io/part-of", "app.kubernetes.io/component"
STAGE, ATTEMPT, KEY = "learntoask.io/stage", "learntoask.io/attempt", "learntoask.io/stage-key"
QUEUE, QUEUE_PRIORITY = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"

RERUN = "learntoask.io/rerun"
"""On a run: `stage=word` computes the stage and all that reads from it anew. Another word makes it happen once more."""
RETRY = "learntoask.io/retry"
"""On a run: any new word forgives the failures so far; a failed stage goes on from its checkpoint."""
CANCEL = "learntoask.io/cancel"
"""On a run: ends it; the value is the reason."""


def child_labels(
    run: str, *, component: str, stage: str | None = None, attempt: int | None = None
) -> dict[str, str]:
    labels = {MANAGED_BY: MANAGER, PART_OF: "learntoask", COMPONENT: component, RUN_LABEL: run}
    if stage is not None:
        labels[STAGE] = stage
    if attempt is not None:
        labels[ATTEMPT] = str(attempt)
    return labels


def job_name(run: str, stage: str, key: str, attempt: int) -> str:
    """The same attempt has the same name, whoever creates it: a second creation is refused by the API server."""
    return f"{run}-{stage}-{key[:8]}-{attempt}"


def owner_reference(body: Json) -> Json:
    """Makes children go with the run. It does not block the run's deletion, which would take a right to finalizers."""
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "name": body["metadata"]["name"],
        "uid": body["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }
