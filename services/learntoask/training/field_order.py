"""The order in which prompts list a task's fields during training.

It changes, so that the policy reads the fields in its prompt instead of memorising the tasks. Otherwise it would fail
on tasks that it has not been trained on.
"""

from __future__ import annotations

import random

from learntoask.core.pack import Pack, Task


def session_order(pack: Pack, task: str, *, session_id: str, seed: int, epoch: int) -> Pack:
    """Return the pack with the fields of `task` in an order that follows from (seed, epoch, session id)."""
    key = f"{seed}:{epoch}:{session_id}"
    return pack.with_tasks(_shuffled(other, key) if other.name == task else other for other in pack.tasks)


def update_order(pack: Pack, *, seed: int, update: int) -> Pack:
    """Return the pack with the fields of every task in an order that follows from (seed, update, task)."""
    return pack.with_tasks(_shuffled(task, f"{seed}:{update}:{task.name}") for task in pack.tasks)


def _shuffled(task: Task, key: str) -> Task:
    fields = list(task.fields)
    random.Random(key).shuffle(fields)
    return task.model_copy(update={"fields": tuple(fields)})
