"""Pure checks of requests. Every error names the field at fault and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.core.records import Message
from learntoask.grading.grades import GradeCase
from learntoask.rpc.requests import InvalidRequest, byte_length, check_bytes


@dataclass(frozen=True, slots=True)
class CaseLimits:
    """Bounds on the cases of a call, the bytes of a text and the bytes of a context."""

    max_cases: int
    max_message_bytes: int
    max_context_bytes: int


def check_count(count: int, limits: CaseLimits) -> None:
    """Raises InvalidRequest for no or too many cases."""
    if count == 0:
        raise InvalidRequest("cases", "none; send at least one")
    if count > limits.max_cases:
        raise InvalidRequest(
            "cases", f"{count}, at most {limits.max_cases} are read in one call; make several"
        )


def checked_case(case: GradeCase, *, field: str, pack: Pack, limits: CaseLimits) -> GradeCase:
    """Return the case if it can be graded. `field` is its path in the request, e.g. `cases[3]`.

    Raises InvalidRequest for an unknown task or target field and for texts that are too long.
    """
    task = pack.task_by_name.get(case.task)
    if task is None:
        known = ", ".join(sorted(pack.task_by_name)[:8])
        raise InvalidRequest(
            f"{field}.task", f"{case.task[:80]!r} is not in pack {pack.name!r} (it has: {known})"
        )
    foreign = sorted(case.target - task.field_names)
    if foreign:
        raise InvalidRequest(
            f"{field}.target", f"{foreign[0][:80]!r} is not a field of task {task.name!r}; send field names"
        )
    for name, text in (("session_id", case.session_id), ("response", case.response)):
        check_bytes(f"{field}.{name}", text, most=limits.max_message_bytes)
    _check_context(f"{field}.context", case.context, limits)
    return case


def _check_context(field: str, context: Sequence[Message], limits: CaseLimits) -> None:
    size = sum(byte_length(message.content) for message in context)
    if size > limits.max_context_bytes:
        raise InvalidRequest(
            field,
            f"{size} bytes, at most {limits.max_context_bytes} are read; Info says how many messages are needed",
        )
