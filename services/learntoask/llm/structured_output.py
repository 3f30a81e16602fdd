"""From what a model wrote to an answer of the form asked for, or why there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from learntoask.llm.wire import Reply, TokenCounts


class Form(BaseModel):
    """What an answer looks like. Every field is required and none may be added, as strict JSON schemas have it; the
    server constrains the model to the schema, and the answer is checked again here, since not every server does."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Filled = TypeVar("Filled", bound=Form)


class NoAnswerReason(StrEnum):
    """Why there is no answer; the words occur in quarantine files and counts."""

    REFUSED = "refused"
    CUT = "cut"
    EMPTY = "empty"
    NOT_JSON = "not-json"
    WRONG_FORM = "wrong-form"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"

    @property
    def by_model(self) -> bool:
        """Whether the model answered, only not as it should; then asking again with the reason may help."""
        return self not in (NoAnswerReason.DENIED, NoAnswerReason.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class ModelReply(Generic[Filled]):
    parsed: Filled
    text: str  # as the model wrote it
    usage: TokenCounts


@dataclass(frozen=True, slots=True)
class NoAnswer:
    reason: NoAnswerReason
    message: str
    text: str = ""


_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_SHOWN = 200


def read_answer(reply: Reply, form: type[Filled]) -> ModelReply[Filled] | NoAnswer:
    """Check a reply in order: refused, cut, empty, no JSON, not of the form."""
    text = reply.content
    if reply.refusal is not None or reply.finish == "content_filter":
        return NoAnswer(
            NoAnswerReason.REFUSED, f"the model refused: {(reply.refusal or reply.finish)[:_SHOWN]}", text
        )
    if reply.finish == "length":
        return NoAnswer(NoAnswerReason.CUT, "the answer was cut at its greatest length (maxTokens)", text)
    if not text.strip():
        return NoAnswer(NoAnswerReason.EMPTY, "the answer was empty", text)
    fenced = _FENCE.match(text)  # as servers without constrained decoding let models write
    try:
        parsed = form.model_validate_json(fenced.group(1) if fenced else text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            return NoAnswer(
                NoAnswerReason.NOT_JSON, f"the answer is not JSON: {text.strip()[:_SHOWN]!r}", text
            )
        where = ".".join(str(part) for part in first["loc"]) or "answer"
        return NoAnswer(NoAnswerReason.WRONG_FORM, f"{where}: {first['msg']}", text)
    return ModelReply(parsed, text, reply.usage or TokenCounts())


@lru_cache(maxsize=1024)
def schema_of(form: type[Form]) -> dict[str, JsonValue]:
    """The JSON schema of a form, without the titles, which would only be read as words of the prompt."""
    return _without_titles(form.model_json_schema())


def _without_titles(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_titles(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _without_titles(one) for name, one in value.items()}
        if key in ("properties", "$defs")
        else _without_titles(value)
        for key, value in node.items()
        if not (key in ("title", "description") and isinstance(value, str))
    }
