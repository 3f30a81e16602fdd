"""Remembers to which policy the conversations of a client belong, so that it can tell any gateway."""

from __future__ import annotations

from collections import OrderedDict

from learntoask.client.types import Assignment

MOST = 10_000  # conversations; the one idle longest is forgotten


class Assignments:
    """The last assignment of each conversation with an id."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Assignment] = OrderedDict()

    def of(self, conversation_id: str) -> Assignment | None:
        """Return the last assignment of a conversation, None if there is none."""
        return self._known.get(conversation_id)

    def note(self, conversation_id: str, assignment: Assignment | None) -> None:
        """Remember the assignment that a decision carried."""
        if assignment is None or not conversation_id:
            return
        self._known[conversation_id] = assignment
        self._known.move_to_end(conversation_id)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
