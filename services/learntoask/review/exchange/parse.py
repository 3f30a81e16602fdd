"""From the bytes of an exported file to answers. Pure; what cannot be read is refused without losing the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from learntoask.core.documents.messages import problem, where_of
from learntoask.core.documents.strict_json import NotParsed, parse_json
from learntoask.core.errors import InputError
from learntoask.review.exchange.answer_line import AnswerLine, Parsed, Refusal
from learntoask.review.exchange.argilla import argilla_answers
from learntoask.review.exchange.label_studio import label_studio_answers


def parse_answers(content: bytes) -> Parsed:
    """Return the answers of a file: this product's JSON Lines, or a JSON list from Label Studio or Argilla.

    Raises InputError if the file as a whole cannot be read.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the file is not UTF-8 text: {error}") from error
    if text.lstrip().startswith("["):
        try:
            records = parse_json(text.encode())
        except NotParsed as error:
            raise InputError(f"the file begins like a JSON list, but it cannot be read: {error}") from error
        return _parsed((f"record {number}", record) for number, record in enumerate(records, 1))
    lines = [(f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _parsed((where, _json(line)) for where, line in lines)


def _json(line: str) -> object:
    try:
        return parse_json(line.encode())
    except NotParsed as error:
        return InputError(f"cannot be read as JSON: {error}")


def _parsed(records: Iterable[tuple[str, object]]) -> Parsed:
    answers: list[tuple[str, AnswerLine]] = []
    refusals: list[Refusal] = []
    for where, record in records:
        try:
            answers += [(where, line) for line in _lines(record)]
        except InputError as error:
            refusals.append(Refusal(where=where, message=str(error)))
    return Parsed(answers=tuple(answers), refusals=tuple(refusals))


def _own(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield record


def _lines(record: object) -> Iterator[AnswerLine]:
    """Yield the answers of a record of any of the formats. Raises InputError."""
    if isinstance(record, InputError):
        raise record
    if not isinstance(record, Mapping):
        raise InputError("must be an object")
    read: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]] = _own
    if "annotations" in record or "annotation_id" in record:
        read = label_studio_answers
    elif "responses" in record:
        read = argilla_answers
    try:
        for fields in read(record):
            # JSON, so that lists are allowed and numbers are not taken for texts
            yield AnswerLine.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        first = error.errors()[0]
        field = where_of(first, "line")
        said = "must be the digest of an item: 64 hex digits" if field == "item" else problem(first)
        raise InputError(f"{field}: {said}") from error
    except KeyError as error:
        raise InputError(f"{error.args[0]}: is required in each result; export the file again") from error
    except (TypeError, AttributeError) as error:
        raise InputError(
            "is not in the form of lta review export, Label Studio or Argilla; export the file again"
        ) from error
