"""Requests as they come in: bytes that may be none, and what is wrong with one, by field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

MAX_ID_LENGTH = 200

Request = TypeVar("Request")


class InvalidRequest(Exception):
    """`field` as the caller wrote it, e.g. `messages[3].content`."""

    def __init__(self, field: str, finding: str) -> None:
        super().__init__(f"{field}: {finding}")
        self.field = field
        self.finding = finding


@dataclass(frozen=True)
class Unparsable:
    finding: str


def tolerant_parser(kind: Any) -> Callable[[bytes], Any]:
    """Not the generated one, which would turn malformed bytes into an INTERNAL error: see `require_parsed`."""
    parse = kind.FromString

    def tolerant(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError as error:
            return Unparsable(f"not a {kind.DESCRIPTOR.full_name}: {error}; strings must be UTF-8")

    return tolerant


def require_parsed(request: Request | Unparsable) -> Request:
    """Raises InvalidRequest where the bytes were no request."""
    if isinstance(request, Unparsable):
        raise InvalidRequest("request", request.finding)
    return request


def check_id(field: str, identifier: str) -> None:
    if len(identifier) > MAX_ID_LENGTH:
        raise InvalidRequest(field, f"{len(identifier)} characters, at most {MAX_ID_LENGTH} are kept")


def check_bytes(field: str, text: str, *, most: int) -> None:
    # A character takes at most 4 bytes, so most texts need no encoding to be measured.
    if len(text) * 4 > most and (size := byte_length(text)) > most:
        raise InvalidRequest(field, f"{size} bytes, at most {most} are read; shorten or split it")


def byte_length(text: str) -> int:
    return len(text.encode("utf-8", errors="surrogatepass"))
