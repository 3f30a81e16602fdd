"""What goes over the wire: the body of a request, and what the response to it means.

A response is a reply (the model wrote something), a fault (the same request may go well a moment later) or a denial
(it never will). Some servers report errors with status 200, in the body or in its first choice: OpenRouter, for one,
has sent the status before the model runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from learntoask.core.manifest import Endpoint
from learntoask.core.prompt import ChatMessage

_TRANSIENT = frozenset({408, 409, 421, 425, 429})
_FATAL = frozenset({401, 402, 403, 404, 405})
_SHOWN = 300  # characters of a server's message that are passed on


class TokenCounts(BaseModel):
    """Tokens of one request; `cached` are those of `prompt` that the server's prefix cache held."""

    model_config = ConfigDict(frozen=True)

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class Reply(BaseModel):
    """What the model wrote, and why it ended (`stop`, `length`, `content_filter`, …)."""

    model_config = ConfigDict(frozen=True)

    content: str
    finish: str
    refusal: str | None = None
    usage: TokenCounts | None = None  # None: the server does not say


@dataclass(frozen=True, slots=True)
class Fault:
    """Worth another try. `kind` is what it is counted as; `retry_after` (seconds) what the server asks for."""

    kind: str
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """No use in trying again; `fatal` where every other request would be denied too (key, quota, address, model)."""

    message: str
    fatal: bool


def request_body(
    endpoint: Endpoint,
    messages: Sequence[ChatMessage],
    *,
    name: str,
    schema: Mapping[str, JsonValue],
    max_tokens: int,
) -> bytes:
    """The JSON of a chat completion whose answer `schema` constrains."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": messages,
        "temperature": 0,
        "seed": endpoint.seed,
        "max_tokens": max_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": name, "strict": True, "schema": schema},
        },
        **endpoint.parameters,
    }
    sent = {key: value for key, value in body.items() if value is not None}
    return json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def read_response(status: int, headers: Mapping[str, str], body: bytes) -> Reply | Fault | Denial:
    """`headers` answers to lower-case names."""
    parsed = _json(body)
    error = _error_in(parsed)
    if status >= 300:
        return _failure(status, headers, error or {"message": body[:_SHOWN].decode("utf-8", "replace")})
    if error is not None:
        code = error.get("code")
        if isinstance(code, int) and 400 <= code < 600:
            return _failure(code, headers, error, in_body=True)
        return Fault("error-in-body", _message(error))
    choice = _first(parsed.get("choices")) if isinstance(parsed, dict) else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return Fault("unreadable", f"not a chat completion: {body[:80].decode('utf-8', 'replace')!r}")
    message = choice["message"]
    content, refusal = message.get("content"), message.get("refusal")
    return Reply(
        content=content if isinstance(content, str) else "",
        finish=str(choice.get("finish_reason") or "stop"),
        refusal=refusal if isinstance(refusal, str) and refusal else None,
        usage=_usage(parsed.get("usage")),
    )


def _failure(
    status: int, headers: Mapping[str, str], error: Mapping[str, Any], *, in_body: bool = False
) -> Fault | Denial:
    said = f"{status}{' in the body' if in_body else ''}: {_message(error)}"
    if status in _TRANSIENT or status >= 500:
        # A spent quota comes as 429 too, and no waiting mends it.
        if error.get("code") == "insufficient_quota" or error.get("type") == "insufficient_quota":
            return Denial(said, fatal=True)
        return Fault("error-in-body" if in_body else str(status), said, retry_after(headers))
    return Denial(said, fatal=status in _FATAL or status < 400)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, 10.2.3), also as Azure's `retry-after-ms`."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        then = parsedate_to_datetime(value)
        # Against the server's own clock, which need not agree with ours.
        now = parsedate_to_datetime(headers.get("date") or "")
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _number(value: str | None) -> float | None:
    return float(value) if value and re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()) else None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _first(listed: object) -> object:
    return listed[0] if isinstance(listed, list) and listed else None


def _error_in(parsed: object) -> dict[str, Any] | None:
    """The error that a body carries: OpenAI's shape, its first choice's, or FastAPI's `detail`."""
    if not isinstance(parsed, dict):
        return None
    choice = _first(parsed.get("choices"))
    found = parsed.get("error") or (choice.get("error") if isinstance(choice, dict) else None)
    if not found and "choices" not in parsed:
        found = parsed.get("detail") or (parsed.get("message") if parsed.get("object") == "error" else None)
    if not found:
        failed = isinstance(choice, dict) and choice.get("finish_reason") == "error"
        return {"message": "the first choice ended with an error"} if failed else None
    return found if isinstance(found, dict) else {"message": str(found)}


def _message(error: Mapping[str, Any]) -> str:
    text = error.get("message") or error.get("msg") or json.dumps(dict(error), default=str)
    return " ".join(str(text).split())[:_SHOWN]


def _usage(found: object) -> TokenCounts | None:
    if not isinstance(found, dict):
        return None

    def count(holder: object, name: Literal["prompt_tokens", "completion_tokens", "cached_tokens"]) -> int:
        value = holder.get(name) if isinstance(holder, dict) else None
        return value if isinstance(value, int) and value > 0 else 0

    return TokenCounts(
        prompt=count(found, "prompt_tokens"),
        cached=count(found.get("prompt_tokens_details"), "cached_tokens"),
        completion=count(found, "completion_tokens"),
    )
