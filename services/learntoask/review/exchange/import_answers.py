"""From answers of a file to events of a queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError
from learntoask.review.exchange.answer_line import AnswerLine, Refusal
from learntoask.review.exchange.parse import parse_answers
from learntoask.review.queue import ReviewQueue
from learntoask.review.records import Answer, ReviewItem


@dataclass(frozen=True, kw_only=True)
class Imported:
    """How many answers were taken, how many were there already, and which parts of the file were refused."""

    taken: int
    known: int
    refusals: tuple[Refusal, ...]


def import_answers(
    queue: ReviewQueue, content: bytes, *, reviewers: Mapping[str, str] | None = None
) -> Imported:
    """Record the answers of a file. `reviewers` gives the names of people whom the file names otherwise.

    A file may be imported again: answers that are recorded already change nothing. An answer that differs from the one
    that stands here is refused, because nothing is replaced by an import. Raises InputError for an unreadable file and
    StoreError if the storage is away; the answers before that are recorded.
    """
    parsed = parse_answers(content)
    refusals, taken, known = list(parsed.refusals), 0, 0
    # Who decides between others comes after them, because a decision needs their answers.
    for where, line in sorted(parsed.answers, key=lambda found: found[1].adjudicated):
        name = (reviewers or {}).get(line.reviewer, line.reviewer)
        try:
            new = _record(queue, line.model_copy(update={"reviewer": name}))
        except InputError as error:
            refusals.append(Refusal(where=where, message=str(error)))
        else:
            taken, known = taken + new, known + (not new)
    return Imported(taken=taken, known=known, refusals=tuple(refusals))


def _record(queue: ReviewQueue, line: AnswerLine) -> bool:
    """Record an answer with its comments; return whether anything was new. Raises InputError."""
    before = queue.given(line.item, line.reviewer)
    item = queue.item(line.item)
    if item is None:
        raise InputError(f"item: {line.item[:12]} is no longer asked")
    answer = None if line.answer is None else _keys(item, line.answer)
    blind = None if line.blind is None else _keys(item, line.blind)
    if answer is not None and before.answer not in (None, answer):
        raise InputError(
            f"{line.reviewer} has answered {line.item[:12]} here with {_text(before.answer)}, and the file says "
            f"{_text(answer)}; undo the answer here, or remove the line"
        )
    at = (line.item, line.reviewer)

    def identifier(part: str, *values: str) -> str:
        return f"import-{digest_of([*at, part, *values])[:32]}"

    if answer is not None and before.answer is None:
        for place, each in enumerate([answer] if blind in (None, answer) else [blind, answer]):
            after = queue.answer(
                *at,
                each or (),
                seconds=0.0 if place else line.seconds,
                id=identifier(f"answer {place}", *each or ()),
                adjudicates=line.adjudicated,
            )
        if after.answer is None:
            raise InputError(
                f"the answer of {line.reviewer} to {line.item[:12]} was imported before and undone here; answer it on "
                "the page"
            )
    elif line.skipped and before.skipped is None and before.answer is None:
        queue.skip(*at, id=identifier("skipped"))
    for comment in line.comments:
        if comment not in before.comments:
            queue.comment(*at, comment, id=identifier("comment", comment))
    return queue.given(*at).next_n > before.next_n


def _keys(item: ReviewItem, answer: Answer) -> Answer:
    """Return the answer with keys where the file has the texts of choices, as other programs' exports may."""
    keys = {choice.text: choice.key for choice in item.choices} | {
        choice.key: choice.key for choice in item.choices
    }
    return tuple(sorted(keys.get(chosen, chosen) for chosen in answer))


def _text(answer: Answer | None) -> str:
    return " ".join(answer or ("none of the choices",))
