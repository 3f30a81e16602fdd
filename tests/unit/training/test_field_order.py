"""Fields change their order from update to update, and nothing else of the pack does."""

from __future__ import annotations

import re

from learntoask.core.pack import Pack
from learntoask.core.prompt import system_prompt
from learntoask.training.field_order import session_order, update_order

FIELDS = [f"field{index}" for index in range(12)]


def pack() -> Pack:
    tasks = [{"name": name, "fields": [{"name": field} for field in FIELDS]} for name in ("one", "two")]
    return Pack.model_validate({"name": "p", "demoTask": "one", "tasks": tasks})


def order(found: Pack, task: str) -> list[str]:
    return [field.name for field in found.task(task).fields]


def test_every_update_has_its_own_order_of_the_same_fields() -> None:
    of_updates = [order(update_order(pack(), seed=0, update=update), "one") for update in range(5)]
    assert all(sorted(fields) == sorted(FIELDS) for fields in of_updates)
    assert len({tuple(fields) for fields in of_updates}) == 5
    assert of_updates[2] == order(update_order(pack(), seed=0, update=2), "one")


def test_prompts_follow_the_new_order_though_the_pack_was_used_before() -> None:
    known = pack()
    before = system_prompt(known, "two", goal=None, may_stop=True)  # looks the task up
    shuffled = update_order(known, seed=0, update=0)
    said = system_prompt(shuffled, "two", goal=None, may_stop=True)
    listed = [word for word in re.findall(r"\w+", said) if word in FIELDS]
    assert listed == order(shuffled, "two")
    assert said != before
    assert sorted(said) == sorted(before)


def test_sft_orders_the_fields_of_a_session_task_alone() -> None:
    orders = [
        session_order(pack(), "one", session_id=name, seed=0, epoch=epoch)
        for name in ("a", "b")
        for epoch in (0, 1)
    ]
    assert len({tuple(order(found, "one")) for found in orders}) == 4
    assert all(order(found, "two") == FIELDS for found in orders)


def test_the_rest_of_the_pack_stays() -> None:
    shuffled = update_order(pack(), seed=0, update=0)
    restored = shuffled.with_tasks(pack().tasks)
    assert restored == pack()
