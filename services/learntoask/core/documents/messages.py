"""What pydantic finds in a document, in the terms of the person who wrote it.

pydantic speaks of tuples and of instances of classes, prefixes messages with "Value error," and adds the names of union
members to paths. `problem` and `path_of` leave that out; every message about an invalid document goes through them.
"""

from __future__ import annotations

import re

from pydantic_core import ErrorDetails

_LIST = "must be a list"
_FIELDS = "must be fields with values (`name: value`)"
_TEXT = "must be text"
_NUMBER = "must be a number"
_WHOLE = "must be a whole number"
_TRUTH = "must be true or false"
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "unknown field",
    "none_required": "must be empty",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _FIELDS,
    "mapping_type": _FIELDS,
    "model_type": _FIELDS,
    "model_attributes_type": _FIELDS,
    "dataclass_type": _FIELDS,
    "string_type": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "is too large",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "path_type": "must be a path",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must be at least {min_length} characters long",
    "string_too_long": "must be at most {max_length} characters long",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "too_short": "must have {min_length} entries or more",
    "too_long": "must have {max_length} entries or fewer",
    "value_error": "{error}",
    "assertion_error": "{error}",
    "json_invalid": "is not JSON: {error}",
}
_NOTHING = re.compile(r"(?!)")
_DIGITS = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?")
_IN_QUOTES = {_WHOLE: _DIGITS, _NUMBER: _DIGITS, _TRUTH: re.compile(r"true|false", re.IGNORECASE)}
"""Texts that are values of these kinds but for their quotes."""
_UNION_MEMBER = re.compile(
    r"^(?:constrained|function|nullable|json-or-python|lax-or-strict|chain|tagged-union)\b.*|^literal\[.*"
)


Path = tuple[int | str, ...]


def path_of(finding: ErrorDetails) -> Path:
    """Return the keys that lead to the fault, as the document has them."""
    return tuple(part for part in finding["loc"] if not _UNION_MEMBER.match(str(part)))


def where_of(finding: ErrorDetails, otherwise: str = "document") -> str:
    """Return the dotted path of the fault; `otherwise` if the whole document is at fault."""
    return dotted(path_of(finding), otherwise)


def dotted(path: Path, otherwise: str = "document") -> str:
    """Return the path of a field with dots; `otherwise` for that of the whole document."""
    return ".".join(str(part) for part in path) or otherwise


def problem(finding: ErrorDetails) -> str:
    """Return what is wrong, such as `must be a list`."""
    template = _MESSAGES.get(finding["type"])
    if template is None:
        return re.sub(r"^Input should\b", "must", finding["msg"])
    context = finding.get("ctx") or {}
    if context.get("min_length") == 1:
        return "must not be empty"
    text = template.format_map(context)
    if template is _TEXT and isinstance(finding.get("input"), bool | int | float):
        text += "; put it in quotes"
    value = finding.get("input")
    if isinstance(value, str) and _IN_QUOTES.get(template, _NOTHING).fullmatch(value):
        text += "; leave the quotes out"
    return text
