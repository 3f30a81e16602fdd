"""The JSON form that a model fills in about a session, and the check of its content against the log.

A model only points at messages and quotes them, and a finding counts only if the log contains the quote. So a
hallucinated or translated value never becomes a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import create_model

from learntoask.core.pack import Task
from learntoask.core.records import Session
from learntoask.labeling.labellers.protocol import Exchange
from learntoask.labeling.llm.grounding import contains_quote, first_containing, normalise
from learntoask.llm.structured_output import Form

LONGEST_VALUE = 200  # characters


class AskedField(Form):
    """One field that the expert asks for in message `asked`.

    `quote` is the user's text that gives it, and `value` the part of it that is the value. Both are null if the user
    never gives it.
    """

    field: str
    asked: int
    quote: str | None
    value: str | None


class Act(Form):
    """The message in which the expert acts, and its words that do."""

    message: int
    quote: str


class Extraction(Form):
    items: tuple[AskedField, ...]


class ActingExtraction(Extraction):
    act: Act | None


@lru_cache(maxsize=1024)
def form_for(fields: tuple[str, ...], *, acts: bool) -> type[Extraction]:
    """Return the form for a task with these `fields`; other names are invalid. With `acts` it has the key `act`."""
    item = create_model("Asked", __base__=AskedField, field=(Literal[fields], ...))
    base = ActingExtraction if acts else Extraction
    parts: dict[str, Any] = {"items": (tuple[item, ...], ...)}  # type: ignore[valid-type]
    return create_model("labels", __base__=base, **parts)


@dataclass(frozen=True, slots=True)
class Span:
    """An act counts in messages [start, end), a question from message `start` to the end of the session."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ModelFindings:
    """What one model found, checked against the log.

    `act` is the message in which the expert acts; `attempts` is the number of requests.
    """

    exchanges: tuple[Exchange, ...]
    act: int | None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Ungrounded:
    """The findings that the log does not confirm, as messages to the model that wrote them."""

    problems: tuple[str, ...]


def read_extraction(
    found: Extraction, session: Session, task: Task, span: Span
) -> ModelFindings | Ungrounded:
    """Check every item and the act against the log. `span` limits the messages that count."""
    exchanges: list[Exchange] = []
    problems: list[str] = []
    for number, item in enumerate(found.items, 1):
        checked = _exchange(item, session, task, span)
        if isinstance(checked, Exchange):
            exchanges.append(checked)
        else:
            problems.append(f"item {number} ({item.field}): {checked}")
    act = found.act if isinstance(found, ActingExtraction) else None
    if act is not None:
        problems += [f"act: {problem}" for problem in _act_problems(act, session, span, exchanges)]
    if problems:
        return Ungrounded(tuple(problems))
    return ModelFindings(tuple(dict.fromkeys(exchanges)), act.message if act is not None else None)


def _exchange(item: AskedField, session: Session, task: Task, span: Span) -> Exchange | str:
    messages = session.messages
    if not span.start <= item.asked < len(messages) or messages[item.asked].role != "assistant":
        return f"message {item.asked} is not one of the expert's from {span.start} to {len(messages) - 1}"
    if item.quote is None and item.value is None:
        return Exchange(item.field, item.asked)
    if item.quote is None or item.value is None:
        return "give both quote and value, or null for both"
    later = [
        (i, message.content)
        for i, message in enumerate(messages)
        if i > item.asked and message.role == "user"
    ]
    answered = first_containing(later, item.quote)
    if answered is None:
        said = repr(item.quote[:LONGEST_VALUE])
        return f"no message of the user after message {item.asked} says {said}; copy their words"
    possible = next(field.values for field in task.fields if field.name == item.field)
    known = next((value for value in possible if normalise(value) == normalise(item.value)), None)
    if known is None and not contains_quote(item.quote, item.value):
        return (
            f"the value {item.value[:LONGEST_VALUE]!r} is neither in the quote nor one of the possible values"
        )
    value = known or " ".join(item.value.split())[:LONGEST_VALUE]
    return Exchange(item.field, item.asked, value, answered)


def _act_problems(act: Act, session: Session, span: Span, exchanges: Sequence[Exchange]) -> Iterator[str]:
    messages = session.messages
    if not span.start <= act.message < span.end or messages[act.message].role != "assistant":
        yield f"message {act.message} is not one of the expert's from {span.start} to {span.end - 1}"
    elif not contains_quote(messages[act.message].content, act.quote):
        yield f"message {act.message} does not say {act.quote[:LONGEST_VALUE]!r}; copy the expert's words"
    later = [
        exchange for exchange in exchanges if exchange.asked > act.message and exchange.value is not None
    ]
    if later:
        yield f"the expert still asks for {later[0].field} in message {later[0].asked}, so does not act before"
