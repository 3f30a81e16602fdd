"""Tells which held-out questions a grader was fitted on word for word, as happens where experts send canned replies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from learntoask.core.pack import Pack
from learntoask.core.text.characters import folded_line
from learntoask.grading.examples import Example, pack_questions
from learntoask.grading.questions import SessionQuestions


class KnownWordings:
    """The texts that a grader was fitted on: the pack's example questions and the questions of some sessions."""

    def __init__(self, pack: Pack, sessions: Iterable[SessionQuestions]) -> None:
        self._sessions: dict[str, set[str]] = defaultdict(set)
        fitted = [*pack_questions(pack), *(example for session in sessions for example in session.asked)]
        for example in fitted:
            self._sessions[folded_line(example.text)].add(example.session_id)

    def has(self, example: Example) -> bool:
        """Return whether the text of `example` stands in another session; a grader leaves the question's own out."""
        return not self._sessions.get(folded_line(example.text), set()) <= {example.session_id}
