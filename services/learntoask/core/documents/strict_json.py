"""Parse JSON that other tools have written, and refuse what other parsers change without a word.

Python's parser keeps the last of two equal keys and accepts NaN; a strict one refuses a whole line for half of an emoji
in a key that nobody reads. Here a repeated key and NaN are refused by name, and half of a surrogate pair, which a tool
leaves that cuts a text in the middle of an emoji, becomes U+FFFD.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_LONGEST_SHOWN = 80  # characters of a key


class NotParsed(ValueError):
    """The text is no JSON, or holds a value that JSON does not have. The message says what and where."""


class RepeatedKey(NotParsed):
    """An object of the text gives a key twice."""


def parse_json(text: bytes) -> Any:
    """Return the value of a text in UTF-8. Raises NotParsed or RepeatedKey."""
    if b"\\ud" in text or b"\\uD" in text:
        text = _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], text)
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise NotParsed(f"{error.msg} at {_place(error)}") from error
    except RecursionError as error:
        raise NotParsed("it is nested too deeply") from error


def _place(error: json.JSONDecodeError) -> str:
    return f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKey(f"key {twice[:_LONGEST_SHOWN]!r} is given {keys.count(twice)} times in one object")
    return value


def _constant(name: str) -> NoReturn:
    raise NotParsed(f"{name} is no value of JSON; write null or a number")


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise NotParsed(f"the number {text[:_LONGEST_SHOWN]} is too large")
    return value


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_SHOWN:
        raise NotParsed(f"the number {text[:20]}… has {len(text)} digits; write it as a string")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number, parse_int=_whole_number
)
