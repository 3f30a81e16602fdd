"""Labels and names of a run's children."""

from __future__ import annotations

from learntoask.core.pod_contract import ATTEMPT_LABEL, LABEL_PREFIX, RUN_LABEL, STAGE_LABEL

from learntoask_operator.ownership import common_labels

STORE_ANNOTATION = f"{LABEL_PREFIX}store"  # of Jobs: a digest that is the same for runs with the same store
QUEUE, QUEUE_PRIORITY = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"


def child_labels(
    run: str, *, component: str, stage: str | None = None, attempt: int | None = None
) -> dict[str, str]:
    labels = {**common_labels(component), RUN_LABEL: run}
    if stage is not None:
        labels[STAGE_LABEL] = stage
    if attempt is not None:
        labels[ATTEMPT_LABEL] = str(attempt)
    return labels


def job_name(run: str, stage: str, key: str, attempt: int) -> str:
    """Name of an attempt's Job. One attempt has one name, so the API server refuses to create it twice."""
    return f"{run}-{stage}-{key[:8]}-{attempt}"
