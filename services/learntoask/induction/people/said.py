"""What people said about the questions of the logs.

A question is named by its plain text and not by a field, because fields come and go with the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from learntoask.calibration.answers import YES, Answered
from learntoask.core.text.characters import one_line
from learntoask.induction.fields.clusters import SameField
from learntoask.induction.fields.questions import plain_text
from learntoask.induction.suggestion import EndAnswer

NEEDED, HELPFUL, NOTHING = "needed", "helpful", "nothing"
"""Answers to what a question is after: the expert cannot act without it, can, or wants to find out nothing."""
ENDS: Mapping[str, EndAnswer] = {answer: answer for answer in get_args(EndAnswer)}


@dataclass(frozen=True)
class Said:
    """The answers. Keys are the plain texts of questions, and for `ends` those of expert messages."""

    same: SameField = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, EndAnswer] = field(default_factory=dict)

    @classmethod
    def of(cls, answered: Iterable[Answered]) -> Said:
        """Return what people agree on. An item on which they do not agree says nothing."""
        same: dict[tuple[str, str], bool] = {}
        after: dict[str, str] = {}
        names: dict[str, str] = {}
        ends: dict[str, EndAnswer] = {}
        for one in answered:
            item = one.item
            if not one.chosen:
                continue
            marked = plain_text(one_line(item.messages[item.start].content))
            (key,) = one.chosen
            if item.kind == "same_field":
                same[plain_text(one_line(item.messages[0].content)), marked] = key == YES
            elif item.kind == "required":
                after[marked] = key
            elif item.kind == "name":
                names[marked] = key
            elif item.kind == "is_end":
                ends[marked] = ENDS[key]
        return cls(same, after, names, ends)

    @property
    def count(self) -> int:
        """How many answers there are."""
        return len(self.same) + len(self.after) + len(self.names) + len(self.ends)

    def __bool__(self) -> bool:
        return self.count > 0


NOTHING_SAID = Said()


def said_of(texts: Iterable[str], said: Mapping[str, str]) -> str | None:
    """Return what people said of a group of questions, by the plain texts of its members. None if nothing."""
    return next((said[text] for text in texts if text in said), None)
