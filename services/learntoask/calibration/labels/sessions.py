"""A labelled session beside the session of the log, and what the user gives in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from learntoask.core.json_lines import read_records
from learntoask.core.languages.pack_phrases import PackPhrases
from learntoask.core.manifest import Corruption
from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, Item, LabelledSession, Sample, Session
from learntoask.core.text.patterns import Search
from learntoask.labeling.corruption import corrupt
from learntoask.labeling.labellers.exchanges import LONGEST_NON_ANSWER, LONGEST_VALUE, FieldPatterns
from learntoask.labeling.logs.patterns import any_of


@dataclass(frozen=True)
class Replies:
    """Reads from a pack what a user's reply gives."""

    fields: Mapping[tuple[str, str], FieldPatterns]  # by task and field
    non_answer: Search

    @classmethod
    def of(cls, pack: Pack) -> Replies:
        return cls(
            fields={
                (task.name, field.name): FieldPatterns.of(field)
                for task in pack.tasks
                for field in task.fields
            },
            non_answer=any_of(PackPhrases.of(pack).non_answers),
        )


@dataclass(frozen=True)
class LabelledLog:
    """A labelled session, and the session of the log, whose turns a wrong stop has not cut off."""

    labelled: LabelledSession
    log: Session
    replies: Replies

    @property
    def session_id(self) -> str:
        return self.log.session_id

    @cached_property
    def samples(self) -> dict[int, Sample]:
        """The samples by their turn."""
        return {sample.turn: sample for sample in self.labelled.samples}

    @cached_property
    def _given(self) -> dict[str, list[tuple[int, str]]]:
        found: dict[str, list[tuple[int, str]]] = {}
        for answer in self.labelled.answers:
            found.setdefault(answer.field, []).append((answer.message, answer.value))
        return found

    def item(self, turn: int, field: str, *, labelled: bool) -> Item | None:
        """Return the item that expert turn `turn` obtains if it asks for `field`; None if the user does not give it.

        The value is one that the labeller found in a later message. If the labeller found no question for the field
        there (`labelled`), it is else the reply itself, unless the pack recognises the reply as no answer.
        """
        end = self.log.turns[turn].end
        later = [value for message, value in self._given.get(field, ()) if message >= end]
        if later or labelled:
            return Item(field=field, value=later[0]) if later else None
        messages = self.log.messages[end:]
        patterns = self.replies.fields[self.log.task, field]
        replies = [
            (end + place, message.content)
            for place, message in enumerate(takewhile(lambda message: message.role == "user", messages))
            if len(message.content) > LONGEST_NON_ANSWER or not self.replies.non_answer(message.content)
        ]
        found = patterns.given_in(replies) or patterns.taken_from(replies)
        return Item(field=field, value=found[0][:LONGEST_VALUE]) if found else None

    @property
    def acts_at(self) -> int | None:
        """The turn in which the expert acts by the log's own end marker or patterns; None if there is none."""
        return self.log.stop_turn if self.log.end != EndReason.ABANDONED else None


def read_labelled(labelled: Path, prepared: Path, *, pack: Pack, faults: Corruption) -> list[LabelledLog]:
    """Read the sessions of the stage label beside those of the stage prepare.

    The faults that the manifest puts into training sessions on purpose are put in here, because people review the
    labels that are trained on. A session whose messages they change is its own log.
    """
    sessions: Iterator[LabelledSession] = read_records(labelled / "labelled.jsonl", LabelledSession)
    if faults.active:
        sessions = corrupt(sessions, settings=faults, pack=pack)
    logs = {session.session_id: session for session in read_records(prepared / "sessions.jsonl", Session)}
    replies = Replies.of(pack)
    found = []
    for one in sessions:
        log = logs.get(one.session.session_id, one.session)
        found.append(LabelledLog(one, log if log.messages == one.session.messages else one.session, replies))
    return found
