"""Field dropout: a session as it would be if its task lacked some fields, so that the policy reads which are listed.

In the logs a task always has the same fields. A policy memorises them and goes on asking where another task needs less.
Without a field, the same conversation has another micro-goal and often an earlier stop, both of which follow from the
labels.
"""

from __future__ import annotations

import random

from learntoask.core.pack import Task
from learntoask.core.records import LabelledSession, Sample


def dropped_fields(task: Task, *, share: float, key: str) -> frozenset[str]:
    """Choose the required fields that `task` loses: each with probability `share`, but never all of them.

    The choice follows from `key`.
    """
    chance = random.Random(key)
    required = [field.name for field in task.fields if field.required]
    dropped = [name for name in required if chance.random() < share]
    if dropped and len(dropped) == len(required):
        dropped.remove(chance.choice(dropped))
    return frozenset(dropped)


def without_fields(task: Task, dropped: frozenset[str]) -> Task:
    """Return `task` without the fields `dropped`."""
    kept = tuple(field for field in task.fields if field.name not in dropped)
    return task.model_copy(update={"fields": kept})


def labels_for(labelled: LabelledSession, task: Task) -> LabelledSession:
    """Return the session with the labels that it has for `task`, which is its own task without some fields.

    Micro-goals lose these fields. The session stops where the user has given all that `task` requires and the expert
    asks for nothing of it any more, at the latest where it stopped before.
    """
    known = {field.name for field in task.fields}
    required = {field.name for field in task.fields if field.required}
    samples: list[Sample] = []
    stop_turn = labelled.session.stop_turn
    for sample in labelled.samples:
        remaining = tuple(item for item in sample.remaining if item.field in known)
        complete = not remaining and required <= labelled.given_before(sample.turn)
        if sample.decision == "stop" or complete:
            samples.append(sample.model_copy(update={"decision": "stop", "remaining": (), "requested": ()}))
            stop_turn = sample.turn
            break
        if remaining:
            samples.append(sample.model_copy(update={"remaining": remaining}))
    session = labelled.session.model_copy(update={"stop_turn": stop_turn})
    return labelled.model_copy(update={"session": session, "samples": tuple(samples)})
