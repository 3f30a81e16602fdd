"""Answers from Label Studio's JSON export: a list of tasks, each with its annotations.

`data.item` or `meta.item` of a task is the digest of the item, as `label_studio_tasks` writes it. Choices of an
annotation are the answer, text areas are comments, and an annotation that `was_cancelled` is a skip. Predictions,
drafts and other results are ignored. The format: labelstud.io/guide/task_format and labelstud.io/guide/export.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from learntoask.core.errors import InputError


def label_studio_answers(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the fields of an AnswerLine for each annotation of a task. Raises InputError for another format."""
    holders = [task.get("data"), task.get("meta")]
    digest = next((held["item"] for held in holders if isinstance(held, Mapping) and held.get("item")), None)
    if digest is None:
        raise InputError("data.item: the digest of the item is missing")
    annotations = task.get("annotations")
    if not isinstance(annotations, list):
        raise InputError("annotations: must be a list; export as JSON, not as JSON-MIN")
    for annotation in annotations:
        results = annotation.get("result")
        if not isinstance(results, list):
            raise InputError("annotations.result: must be a list")
        cancelled = bool(annotation.get("was_cancelled"))
        yield {
            "item": digest,
            "reviewer": _name(annotation.get("completed_by")),
            "answer": None if cancelled else sorted({key for found in results for key in _choices(found)}),
            "skipped": cancelled,
            "seconds": annotation.get("lead_time") or 0.0,
            "comments": [text for found in results for text in _texts(found)],
        }


def _choices(result: Mapping[str, Any]) -> list[str]:
    if result.get("type") != "choices":
        return []
    found: list[str] = result["value"]["choices"]
    return found


def _texts(result: Mapping[str, Any]) -> list[str]:
    if result.get("type") != "textarea":
        return []
    found = result["value"]["text"]
    return [found] if isinstance(found, str) else list(found)


def _name(completed_by: object) -> str:
    """Return the name of an annotator, who is a number or, in detailed exports, has an address."""
    if isinstance(completed_by, Mapping):
        completed_by = completed_by.get("email") or completed_by.get("id")
    if completed_by in (None, ""):
        raise InputError("annotations.completed_by: the annotator is missing")
    return str(completed_by)
