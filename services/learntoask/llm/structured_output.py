"""Structured output: from a model's reply to an object of a given form, or the reason why there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from learntoask.core.documents.messages import problem, where_of
from learntoask.llm.wire import CompletionUsage, Reply


class Form(BaseModel):
    """The form of an answer, as strict JSON schemas define it: all fields are required, and no other fields are
    allowed.

    Servers with constrained decoding enforce the schema. The answer is also checked here, for servers without it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


Filled = TypeVar("Filled", bound=Form)


class NoAnswerReason(StrEnum):
    """Why there is no answer. The values appear in quarantine files and in the summary of a stage."""

    REFUSED = "refused"
    CUT = "cut"
    EMPTY = "empty"
    NOT_JSON = "not-json"
    WRONG_FORM = "wrong-form"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"

    @property
    def by_model(self) -> bool:
        """Whether the model sent an invalid answer, so that a second request with the reason may help."""
        return self not in (NoAnswerReason.DENIED, NoAnswerReason.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class ModelReply(Generic[Filled]):
    """A valid answer: the filled form, the text that it was parsed from, and the tokens of the request."""

    parsed: Filled
    text: str
    usage: CompletionUsage


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The reason for a missing answer, with a message for people and the text of the model, if there is any."""

    reason: NoAnswerReason
    message: str
    text: str = ""


_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_SHOWN = 200


def read_answer(reply: Reply, form: type[Filled]) -> ModelReply[Filled] | NoAnswer:
    """Parse a reply. The checks run in this order: refused, cut, empty, not JSON, wrong form."""
    text = reply.content
    if reply.refusal is not None or reply.finish == "content_filter":
        return NoAnswer(
            NoAnswerReason.REFUSED, f"the model refused: {(reply.refusal or reply.finish)[:_SHOWN]}", text
        )
    if reply.finish == "length":
        return NoAnswer(NoAnswerReason.CUT, "the answer was cut at its greatest length (maxTokens)", text)
    if not text.strip():
        return NoAnswer(NoAnswerReason.EMPTY, "the answer was empty", text)
    fenced = _FENCE.match(text)  # models without constrained decoding often write a Markdown code block
    try:
        parsed = form.model_validate_json(fenced.group(1) if fenced else text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            return NoAnswer(
                NoAnswerReason.NOT_JSON, f"the answer is not JSON: {text.strip()[:_SHOWN]!r}", text
            )
        return NoAnswer(NoAnswerReason.WRONG_FORM, f"{where_of(first, 'answer')}: {problem(first)}", text)
    return ModelReply(parsed, text, reply.usage or CompletionUsage())


@lru_cache(maxsize=1024)
def schema_of(form: type[Form]) -> dict[str, JsonValue]:
    """Return the JSON schema of a form without titles, which some servers would insert into the prompt."""
    return _without_titles(form.model_json_schema())


def _without_titles(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_titles(element) for element in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _without_titles(schema) for name, schema in value.items()}
        if key in ("properties", "$defs")
        else _without_titles(value)
        for key, value in node.items()
        if not (key in ("title", "description") and isinstance(value, str))
    }
