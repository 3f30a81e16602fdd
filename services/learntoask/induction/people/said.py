"""What people said about the questions of the logs.

A question is named by its plain text and not by a field, because fields come and go with the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from learntoask.calibration.answers import YES, Answered
from learntoask.core.text.characters import one_line
from learntoask.induction.fields.clusters import SameField, SeveralFields
from learntoask.induction.fields.questions import plain_text
from learntoask.induction.suggestion import EndAnswer

NEEDED, HELPFUL, NOTHING = "needed", "helpful", "nothing"
"""Answers to what a question is after: the expert cannot act without it, can, or wants to find out nothing."""
ENDS: Mapping[str, EndAnswer] = {answer: answer for answer in get_args(EndAnswer)}


@dataclass(frozen=True)
class Said:
    """The answers. Keys are the plain texts of questions, and for `ends` those of expert messages.

    `asks` says of a question whether it asks for the same thing as each of some others.
    """

    same: SameField = field(default_factory=dict)
    asks: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, EndAnswer] = field(default_factory=dict)

    @classmethod
    def of(cls, answered: Iterable[Answered]) -> Said:
        """Return what people agree on. An item on which they do not agree says nothing."""
        same: dict[tuple[str, str], bool] = {}
        asks: dict[str, dict[str, bool]] = {}
        after: dict[str, str] = {}
        names: dict[str, str] = {}
        ends: dict[str, EndAnswer] = {}
        for one in answered:
            item = one.item
            if one.chosen is None:
                continue
            marked = plain_text(one_line(item.messages[item.start].content))
            if item.kind == "asks_for":
                if NOTHING in one.chosen:
                    after[marked] = NOTHING
                else:
                    asks[marked] = {
                        choice.key: choice.key in one.chosen
                        for choice in item.choices
                        if choice.key != NOTHING
                    }
                continue
            (key,) = one.chosen
            if item.kind == "same_field":
                same[plain_text(one_line(item.messages[0].content)), marked] = key == YES
            elif item.kind == "required":
                after[marked] = key
            elif item.kind == "name":
                names[marked] = key
            elif item.kind == "is_end":
                ends[marked] = ENDS[key]
        return cls(same, asks, after, names, ends)

    @property
    def count(self) -> int:
        """How many answers there are."""
        return sum(map(len, (self.same, self.asks, self.after, self.names, self.ends)))

    @property
    def same_field(self) -> SameField:
        """Whether two questions ask for the same field and nothing else."""
        found = dict(self.same)
        for marked, asked in self.asks.items():
            alone = sum(asked.values()) == 1
            found |= {(marked, other): chosen for other, chosen in asked.items() if alone or not chosen}
        return found

    @property
    def several_fields(self) -> SeveralFields:
        """The questions that ask for several fields at once."""
        return {
            marked: frozenset(other for other, chosen in asked.items() if chosen)
            for marked, asked in self.asks.items()
            if sum(asked.values()) > 1
        }

    def __bool__(self) -> bool:
        return self.count > 0


NOTHING_SAID = Said()


def said_of(texts: Iterable[str], said: Mapping[str, str]) -> str | None:
    """Return what people said of a group of questions, by the plain texts of its members. None if nothing."""
    return next((said[text] for text in texts if text in said), None)
