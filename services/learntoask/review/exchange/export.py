"""What is written for other programs: answers, and items to be answered elsewhere. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from learntoask.review.exchange.answer_line import AnswerLine
from learntoask.review.records import CANNOT_SAY, ReviewItem
from learntoask.review.response import Response

LABEL_STUDIO_CONFIG = """<View>
  <Paragraphs name="conversation" value="$messages" layout="dialogue" nameKey="author" textKey="content"/>
  <Header value="$question"/>
  <Choices name="answer" toName="conversation" choice="multiple" value="$choices"/>
  <TextArea name="comment" toName="conversation" rows="2"/>
</View>
"""
"""The labelling interface for the tasks of `label_studio_tasks`."""


def answers_file(found: Iterable[tuple[str, ReviewItem, str, Response]]) -> str:
    """Return one AnswerLine a line for digest, item, reviewer and response of each answer, in the given order."""
    return "".join(
        AnswerLine(
            item=digest,
            reviewer=reviewer,
            answer=response.answer,
            blind=response.blind if response.revealed else None,
            adjudicated=response.adjudicated,
            skipped=response.skipped is not None,
            seconds=response.seconds,
            answered=response.answered,
            comments=response.comments,
            kind=item.kind,
            repeats=item.repeats,
        ).model_dump_json()
        + "\n"
        for digest, item, reviewer, response in found
    )


def label_studio_tasks(items: Mapping[str, ReviewItem]) -> str:
    """Return items (by digest) as tasks for an import into Label Studio. They hold no votes, so answers are blind."""
    tasks: list[JsonValue] = [
        {
            "data": {
                "item": digest,
                "messages": [
                    {"author": _side(item, place), "content": message.content}
                    for place, message in enumerate(item.messages[: item.shown])
                ],
                "question": item.question,
                "choices": [{"value": key, "html": text} for key, text in _choices(item)],
            }
        }
        for digest, item in items.items()
    ]
    return json.dumps(tasks, ensure_ascii=False, indent=1)


def argilla_records(items: Mapping[str, ReviewItem]) -> str:
    """Return items (by digest) as records for an import into Argilla, with a question named `answer`."""
    records: list[JsonValue] = [
        {
            "id": digest,
            "fields": {
                "conversation": "\n".join(
                    f"{_side(item, place)}: {message.content}"
                    for place, message in enumerate(item.messages[: item.shown])
                ),
                "question": item.question,
                "choices": "\n".join(f"{key}: {text}" for key, text in _choices(item)),
            },
            "metadata": {"item": digest, "kind": item.kind},
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }
        for digest, item in items.items()
    ]
    return json.dumps(records, ensure_ascii=False, indent=1)


def _choices(item: ReviewItem) -> list[tuple[str, str]]:
    texts = [
        (choice.key, ": ".join(filter(None, (choice.text, choice.description)))) for choice in item.choices
    ]
    return [*texts, (CANNOT_SAY[0], "cannot say")]


def _side(item: ReviewItem, place: int) -> str:
    role = item.messages[place].role
    return f"{role} (asked about)" if item.start <= place < item.end else role
