"""Questions with the fields they ask for: what a grader is fitted on and looks its neighbours up in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession


@dataclass(frozen=True, kw_only=True)
class Example:
    session_id: str
    task: str
    text: str
    asked: frozenset[str]  # field names of the task; never empty


def expert_questions(labelled: LabelledSession, pack: Pack) -> Iterator[Example]:
    """The session's expert turns whose requested fields are known; what a policy said is no example."""
    session = labelled.session
    known = pack.task(session.task).field_names
    for sample in labelled.samples:
        turn = session.turns[sample.turn]
        said = [
            message.content
            for message in session.messages[turn.start : turn.end]
            if message.author == "expert"
        ]
        text = one_line(" ".join(said))
        asked = known.intersection(sample.requested)
        if text and asked:
            yield Example(session_id=session.session_id, task=session.task, text=text, asked=asked)


def pack_questions(pack: Pack) -> Iterator[Example]:
    """The pack's own example questions, each a session of its own, so that none is its own neighbour."""
    for task in pack.tasks:
        for field in task.fields:
            for number, text in enumerate(field.questions):
                yield Example(
                    session_id=f"pack\n{task.name}\n{field.name}\n{number}",
                    task=task.name,
                    text=one_line(text),
                    asked=frozenset({field.name}),
                )


def one_line(text: str) -> str:
    return " ".join(text.split())
