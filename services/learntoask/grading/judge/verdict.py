"""What a judge writes about a question, and whether it makes sense.

The fields a judge finds asked for and the marks it gives must fit each other: marks that do not follow from its own
findings are nonsense, and nonsense is never a grade.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BeforeValidator, create_model

from learntoask.grading.grades import Grade
from learntoask.llm.structured_output import Form


def _written(mark: object) -> object:
    """Models without a constraint write 1, 1.0 or "1"."""
    return f"{mark:g}" if isinstance(mark, int | float) and not isinstance(mark, bool) else mark


Mark = Annotated[Literal["1", "0.5", "0"], BeforeValidator(_written)]


class Judgement(Form):
    """In this order: a mark that follows its reason is a better one."""

    reason: str
    asked: tuple[str, ...]
    content: Mark
    format: Mark


@lru_cache(maxsize=1024)
def form_for(fields: tuple[str, ...]) -> type[Judgement]:
    """The form with the task's own field names as the only ones."""
    return create_model("judgement", __base__=Judgement, asked=(tuple[Literal[fields], ...], ...))  # type: ignore[valid-type]


def grade_of(judgement: Judgement, target: frozenset[str]) -> Grade:
    asked = frozenset(judgement.asked)
    return Grade(
        content=float(judgement.content),
        content_any=1.0 if asked & target else 0.0,
        format=float(judgement.format),
        asked=asked,
        is_question=True,
        reason=" ".join(judgement.reason.split()),
    )


def contradictions(judgement: Judgement, target: frozenset[str]) -> Iterator[str]:
    """In words for the model that wrote it; `target` holds what is still needed."""
    asked = frozenset(judgement.asked)
    needed, known = sorted(asked & target), sorted(asked - target)
    match judgement.content:
        case "1" if known:
            yield f"content is 1, but you list {', '.join(known)} as asked for, which is not still needed"
        case "1" if not asked:
            yield "content is 1, but you list no field as asked for"
        case "0" if needed:
            yield f"content is 0, but you list {', '.join(needed)} as asked for, which is still needed"
        case "0.5" if not target:
            yield "content is 0.5, but nothing is still needed"
    if len(asked) > 1 and judgement.format == "1":
        yield f"format is 1, but you list {len(asked)} fields as asked for"
    if len(asked) > 2 and judgement.format != "0":
        yield f"format is {judgement.format}, but you list {len(asked)} fields as asked for"
