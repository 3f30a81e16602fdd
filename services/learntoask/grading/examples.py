"""Questions with the fields they ask for: the examples that a grader is fitted on and looks up neighbours in."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Sample, Turn
from learntoask.core.text.characters import one_line
from learntoask.grading.grades import GradeCase

FOLDS = 5
ANNOTATED = (
    "annotated"  # a turn for which this labeller names no field asks for none; others may have missed it
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """A question with the fields that it asks for."""

    session_id: str
    task: str
    text: str
    asked: frozenset[str]  # field names of the task; empty if the text is known to ask for none

    def case(self) -> GradeCase:
        """The grade case of the question, with the fields that it asks for as its target."""
        return GradeCase(session_id=self.session_id, task=self.task, response=self.text, target=self.asked)


def fold_of(session_id: str) -> int:
    """Return the fold of a session, whether or not it was fitted on. The models of a fold are fitted on the others."""
    return zlib.crc32(session_id.encode("utf-8", errors="surrogatepass")) % FOLDS


def expert_questions(labelled: LabelledSession, pack: Pack) -> Iterator[Example]:
    """Yield the session's expert turns whose requested fields are known. Turns by a policy are no examples."""
    for _, example in asking_turns(labelled, pack):
        yield example


def asking_turns(labelled: LabelledSession, pack: Pack) -> Iterator[tuple[Sample, Example]]:
    """Yield the examples of `expert_questions`, each with its decision point."""
    session = labelled.session
    known = pack.task(session.task).field_names
    for sample in labelled.samples:
        text = expert_text(labelled, session.turns[sample.turn])
        asked = known.intersection(sample.requested)
        if text and asked:
            yield sample, Example(session_id=session.session_id, task=session.task, text=text, asked=asked)


def idle_questions(labelled: LabelledSession, is_question: Callable[[str], bool]) -> Iterator[Example]:
    """Yield questions that ask for no field: the user's, and the expert's if the annotations would name any field."""
    session = labelled.session
    texts = [one_line(message.content) for message in session.messages if message.author == "user"]
    if any(sample.provenance.labeller == ANNOTATED for sample in labelled.samples):
        asking = {sample.turn for sample in labelled.samples if sample.requested or sample.decision == "stop"}
        texts += [
            expert_text(labelled, turn) for number, turn in enumerate(session.turns) if number not in asking
        ]
    for text in texts:
        if is_question(text):
            yield Example(session_id=session.session_id, task=session.task, text=text, asked=frozenset())


def pack_questions(pack: Pack) -> Iterator[Example]:
    """Yield the pack's example questions, each as a separate session, so that none is its own neighbour."""
    for task in pack.tasks:
        for field in task.fields:
            for number, text in enumerate(field.questions):
                yield Example(
                    session_id=f"pack\n{task.name}\n{field.name}\n{number}",
                    task=task.name,
                    text=one_line(text),
                    asked=frozenset({field.name}),
                )


def expert_text(labelled: LabelledSession, turn: Turn) -> str:
    """Return what the expert says in a turn, on one line."""
    messages = labelled.session.messages[turn.start : turn.end]
    return one_line(" ".join(message.content for message in messages if message.author == "expert"))
