"""Answers from Argilla's JSON export (`dataset.records.to_json`): a list of records with responses by question.

`id` or `metadata.item` of a record is the digest of the item, as `argilla_records` writes it. The question `answer` has
the answer, or the only question besides `comment`; each response has a value (text or a list) and a user id. Responses
with the status `draft` are left out, and `discarded` ones are skips. The format: docs.argilla.io, Record.to_dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from learntoask.core.errors import InputError

_DIGEST_LENGTH = 64


def argilla_answers(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the fields of an AnswerLine for each response to a record. Raises InputError for another format."""
    responses = record.get("responses")
    if not isinstance(responses, Mapping):
        raise InputError("responses: must be fields with lists; export with records.to_json")
    comments: dict[str, list[str]] = {}
    for response in _of(responses, "comment"):
        comments.setdefault(_user(response), []).append(str(response.get("value")))
    for response in _of(responses, _question(responses)):
        if response.get("status") == "draft":
            continue
        discarded, value = response.get("status") == "discarded", response.get("value")
        if not discarded and not isinstance(value, str | list):
            raise InputError("responses.value: must be text or a list of texts")
        yield {
            "item": _digest(record),
            "reviewer": _user(response),
            "answer": None if discarded else [value] if isinstance(value, str) else sorted(set(value or [])),
            "skipped": discarded,
            "comments": comments.get(_user(response), []),
        }


def _digest(record: Mapping[str, Any]) -> str:
    metadata = record.get("metadata")
    found = metadata.get("item") if isinstance(metadata, Mapping) else None
    found = found or record.get("id")
    if not isinstance(found, str) or len(found) != _DIGEST_LENGTH:
        raise InputError("id: must be the digest of the item")
    return found


def _question(responses: Mapping[str, Any]) -> str:
    names = [name for name in responses if name != "comment"]
    if "answer" in names or not names:
        return "answer"
    if len(names) > 1:
        raise InputError(f"responses: which of {', '.join(names)} is the answer? Name that question `answer`")
    return names[0]


def _of(responses: Mapping[str, Any], question: str) -> Sequence[Mapping[str, Any]]:
    found = responses.get(question) or []
    if not isinstance(found, list) or not all(isinstance(response, Mapping) for response in found):
        raise InputError(f"responses.{question}: must be a list of responses")
    return found


def _user(response: Mapping[str, Any]) -> str:
    if not response.get("user_id"):
        raise InputError("responses.user_id: the user is missing")
    return str(response["user_id"])
