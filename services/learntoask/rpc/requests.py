"""Checks of incoming requests: malformed bytes, sizes, and errors that name the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

MAX_ID_LENGTH = 200

Request = TypeVar("Request")


class InvalidRequest(Exception):
    """A request cannot be answered. `field` is the path of the field at fault, for example `messages[3].content`."""

    def __init__(self, field: str, finding: str) -> None:
        super().__init__(f"{field}: {finding}")
        self.field = field
        self.finding = finding


@dataclass(frozen=True)
class Unparsable:
    """Takes the place of a request whose bytes could not be parsed."""

    finding: str


def tolerant_parser(kind: Any) -> Callable[[bytes], Any]:
    """Return a deserializer that gives Unparsable for malformed bytes; pass its result to `require_parsed`.

    The generated deserializer would end the call with INTERNAL instead of INVALID_ARGUMENT.
    """
    parse = kind.FromString

    def tolerant(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError as error:
            return Unparsable(f"not a {kind.DESCRIPTOR.full_name}: {error}; strings must be UTF-8")

    return tolerant


def require_parsed(request: Request | Unparsable) -> Request:
    """Return the request. Raises InvalidRequest if its bytes could not be parsed."""
    if isinstance(request, Unparsable):
        raise InvalidRequest("request", request.finding)
    return request


def check_id(field: str, identifier: str) -> None:
    """Raises InvalidRequest for more than MAX_ID_LENGTH characters."""
    if len(identifier) > MAX_ID_LENGTH:
        raise InvalidRequest(field, f"{len(identifier)} characters, at most {MAX_ID_LENGTH} are kept")


def check_bytes(field: str, text: str, *, most: int) -> None:
    """Raises InvalidRequest for more than `most` bytes of UTF-8."""
    # A character takes at most 4 bytes, so short texts need no encoding to be measured.
    if len(text) * 4 > most and (size := byte_length(text)) > most:
        raise InvalidRequest(field, f"{size} bytes, at most {most} are read; shorten or split it")


def byte_length(text: str) -> int:
    """Return the length in bytes of UTF-8; lone surrogates count 3 each."""
    return len(text.encode("utf-8", errors="surrogatepass"))
