"""The order in which prompts list a task's fields while a policy learns.

It changes, so that the policy reads the list of its prompt instead of knowing the task by heart: it meets tasks that
it never saw.
"""

from __future__ import annotations

import random

from learntoask.core.pack import Pack, Task


def session_order(pack: Pack, task: str, *, session_id: str, seed: int, epoch: int) -> Pack:
    """The pack with the fields of `task` in an order of this (session, epoch)."""
    key = f"{seed}:{epoch}:{session_id}"
    return pack.with_tasks(_shuffled(one, key) if one.name == task else one for one in pack.tasks)


def update_order(pack: Pack, *, seed: int, update: int) -> Pack:
    """The pack with the fields of every task in an order of this (task, update)."""
    return pack.with_tasks(_shuffled(one, f"{seed}:{update}:{one.name}") for one in pack.tasks)


def _shuffled(task: Task, key: str) -> Task:
    fields = list(task.fields)
    random.Random(key).shuffle(fields)
    return task.model_copy(update={"fields": tuple(fields)})
