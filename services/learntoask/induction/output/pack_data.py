"""The pack as plain data, in the order in which people read it."""

from __future__ import annotations

from typing import Any

from learntoask.induction.reading.roles import side_names
from learntoask.induction.suggestion import FieldUse, SuggestedTask, Suggestion


def pack_data(found: Suggestion, *, name: str) -> dict[str, Any]:
    """Return the keys of the pack that the logs decide; what is left out has its default."""
    ends = found.ends
    data: dict[str, Any] = {
        "name": name,
        "language": found.language,
        "roles": _roles(found),
        "stopAt": "acts",
        "endMarkers": [marker for marker, _ in ends.markers],
        "requireEndMarker": ends.require_marker,
    }
    if ends.actions:
        data["actionPatterns"] = [pattern.expression for pattern in ends.actions]
    if ends.handoffs:
        data["handoffPatterns"] = [pattern.expression for pattern in ends.handoffs]
    if found.task_from:
        data["taskFrom"] = list(found.task_from)
    data["tasks"] = [task_data(task) for task in found.tasks]
    if found.min_words != 2:
        data["fluency"] = {"minWords": found.min_words}
    return data


def task_data(task: SuggestedTask) -> dict[str, Any]:
    """Return a task as the pack writes it."""
    data: dict[str, Any] = {"name": task.name}
    if task.goal:
        data["goal"] = task.goal
    data["fields"] = [field_data(use) for use in task.fields]
    return data


def field_data(use: FieldUse) -> dict[str, Any]:
    """Return a field of a task as the pack writes it."""
    field = use.field
    data: dict[str, Any] = {"name": field.name, "description": use.description}
    if not use.required:
        data["required"] = False
    data["patterns"] = [pattern.expression for pattern in use.patterns]
    if field.answer_patterns:
        data["answerPatterns"] = list(field.answer_patterns)
    if field.values:
        data["values"] = list(field.values)
    data["questions"] = list(use.questions)
    return data


def _roles(found: Suggestion) -> dict[str, Any]:
    user, expert = side_names(found.user_roles, found.expert_roles)
    return {
        "user": user,
        "expert": expert,
        "userAliases": list(found.user_roles),
        "expertAliases": list(found.expert_roles),
    }
