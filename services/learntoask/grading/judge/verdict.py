"""The JSON form that a judge fills in about a question, and the check that it does not contradict itself.

The marks must follow from the fields that the judge finds asked for. A verdict that contradicts itself never becomes a
grade.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BeforeValidator, create_model

from learntoask.grading.grades import Grade
from learntoask.llm.structured_output import Form


def _as_text(mark: object) -> object:
    """Return a mark as text, because models without constrained decoding write 1, 1.0 or "1"."""
    return f"{mark:g}" if isinstance(mark, int | float) and not isinstance(mark, bool) else mark


Mark = Annotated[Literal["1", "0.5", "0"], BeforeValidator(_as_text)]


class JudgeVerdict(Form):
    """The verdict. The reason comes first, because models give better marks after stating a reason."""

    reason: str
    asked: tuple[str, ...]
    content: Mark
    format: Mark


@lru_cache(maxsize=1024)
def form_for(fields: tuple[str, ...]) -> type[JudgeVerdict]:
    """Return the form for a task with these `fields`; no other field name is valid."""
    return create_model("judgement", __base__=JudgeVerdict, asked=(tuple[Literal[fields], ...], ...))  # type: ignore[valid-type]


def grade_of(verdict: JudgeVerdict, target: frozenset[str]) -> Grade:
    """Return the grade that a verdict without contradictions gives."""
    asked = frozenset(verdict.asked)
    return Grade(
        content=float(verdict.content),
        content_any=1.0 if asked & target else 0.0,
        format=float(verdict.format),
        asked=asked,
        is_question=True,
        reason=" ".join(verdict.reason.split()),
    )


def contradictions(verdict: JudgeVerdict, target: frozenset[str]) -> Iterator[str]:
    """Yield the contradictions, as messages to the model that wrote the verdict. `target` is what is still needed."""
    asked = frozenset(verdict.asked)
    needed, known = sorted(asked & target), sorted(asked - target)
    match verdict.content:
        case "1" if known:
            yield f"content is 1, but you list {', '.join(known)} as asked for, which is not still needed"
        case "1" if not asked:
            yield "content is 1, but you list no field as asked for"
        case "0" if needed:
            yield f"content is 0, but you list {', '.join(needed)} as asked for, which is still needed"
        case "0.5" if not target:
            yield "content is 0.5, but nothing is still needed"
    if len(asked) > 1 and verdict.format == "1":
        yield f"format is 1, but you list {len(asked)} fields as asked for"
    if len(asked) > 2 and verdict.format != "0":
        yield f"format is {verdict.format}, but you list {len(asked)} fields as asked for"
