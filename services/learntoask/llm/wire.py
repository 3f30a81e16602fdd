"""The wire format of chat completions: the body of a request, and the meaning of a response.

A response is a reply (the model wrote a text), a fault (the same request may succeed later) or a denial (it never
will). Some servers report errors with status 200, in the body or in its first choice; OpenRouter, for example, sends
the status before the model runs.
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


class CompletionUsage(BaseModel):
    """The tokens of a request. `cached` is the part of `prompt` that was in the server's prefix cache."""

    model_config = ConfigDict(frozen=True)

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class Reply(BaseModel):
    """The text that the model wrote, and the reason for its end (`stop`, `length`, `content_filter`, …)."""

    model_config = ConfigDict(frozen=True)

    content: str
    finish: str
    refusal: str | None = None
    usage: CompletionUsage | None = None  # None if the server does not report it


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure that a retry may overcome. `kind` is the name under which it is counted; `retry_after` are the seconds
    that the server asks to wait."""

    kind: str
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """A failure that no retry overcomes. With `fatal` all other requests would be denied too, because of the key, the
    quota, the address or the model."""

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
    """Return the JSON body of a request for a chat completion whose answer is constrained by `schema`."""
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
    """Interpret a response. `headers` is looked up with lower-case names."""
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
        # A spent quota also has status 429, but a retry does not help.
        if error.get("code") == "insufficient_quota" or error.get("type") == "insufficient_quota":
            return Denial(said, fatal=True)
        return Fault("error-in-body" if in_body else str(status), said, retry_after(headers))
    return Denial(said, fatal=status in _FATAL or status < 400)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait (RFC 9110, 10.2.3, or Azure's `retry-after-ms`), or None."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        then = parsedate_to_datetime(value)
        # Relative to the server's clock, which may differ from the local one.
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
    """Return the error in a body: in OpenAI's format, in its first choice, or in FastAPI's `detail`. None without
    one."""
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


def _usage(found: object) -> CompletionUsage | None:
    if not isinstance(found, dict):
        return None

    def count(holder: object, name: Literal["prompt_tokens", "completion_tokens", "cached_tokens"]) -> int:
        value = holder.get(name) if isinstance(holder, dict) else None
        return value if isinstance(value, int) and value > 0 else 0

    return CompletionUsage(
        prompt=count(found, "prompt_tokens"),
        cached=count(found.get("prompt_tokens_details"), "cached_tokens"),
        completion=count(found, "completion_tokens"),
    )
