"""The items of a review queue about one conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from learntoask.calibration.answers import NO, YES
from learntoask.calibration.draw.findings import Finding
from learntoask.core.pack import Pack, Task
from learntoask.core.records import Session
from learntoask.review.records import Answer, Choice, ItemSplit, Kind, Origin, ReviewItem, Vote, Why


@dataclass(frozen=True)
class Drawn:
    """How an item was drawn. `inclusion` is the probability of that; `expected` is the answer of a known item."""

    stratum: str
    inclusion: float
    split: ItemSplit
    why: Why
    expected: Answer | None = None


class Items:
    """Makes the items of one draw. `output` is the digest of the labels that they are about."""

    def __init__(self, pack: Pack, *, run: str, output: str) -> None:
        self._pack = pack
        self._run = run
        self._output = output

    def asks_for(self, session: Session, finding: Finding, drawn: Drawn) -> ReviewItem:
        """Ask which fields the marked turn asks for; the conversation up to that turn is shown."""
        expert = self._pack.roles.expert
        votes = [
            Vote(judge=judge, answer=tuple(sorted(fields))) for judge, fields in sorted(finding.asks.items())
        ]
        return self._item(
            "asks_for",
            session,
            finding.turn,
            f"Which of these does the {expert} ask for in the marked message? Choose none if it asks for none of them.",
            choices=_fields(self._pack.task(session.task)),
            votes=votes,
            until=session.turns[finding.turn].end,
            drawn=drawn,
        )

    def is_stop(self, session: Session, turn: int, votes: Mapping[str, bool], drawn: Drawn) -> ReviewItem:
        """Ask whether it is time to act at a turn, which is shown only after the answer."""
        roles = self._pack.roles
        return self._item(
            "is_stop",
            session,
            turn,
            f"What should the {roles.expert} do next: act, or ask the {roles.user} something first?",
            choices=(
                Choice(key=YES, text="Act", description="nothing is missing"),
                Choice(key=NO, text="Ask first", description="something is missing"),
            ),
            votes=[Vote(judge=judge, answer=(YES if acts else NO,)) for judge, acts in sorted(votes.items())],
            until=session.turns[turn].end,
            drawn=drawn,
        )

    def still_needed(
        self, session: Session, turn: int, votes: Mapping[str, Iterable[str]], drawn: Drawn
    ) -> ReviewItem:
        """Ask which fields the expert still asks for and obtains; the whole conversation is shown."""
        roles = self._pack.roles
        return self._item(
            "still_needed",
            session,
            turn,
            f"From the marked message to the end: which of these does the {roles.expert} ask for, and the {roles.user} "
            "then give? Choose none if there is none.",
            choices=_fields(self._pack.task(session.task)),
            votes=[
                Vote(judge=judge, answer=tuple(sorted(fields))) for judge, fields in sorted(votes.items())
            ],
            until=len(session.messages),
            drawn=drawn,
        )

    def _item(
        self,
        kind: Kind,
        session: Session,
        turn: int,
        question: str,
        *,
        choices: tuple[Choice, ...],
        votes: list[Vote],
        until: int,
        drawn: Drawn,
    ) -> ReviewItem:
        where = session.turns[turn]
        return ReviewItem(
            kind=kind,
            task=session.task,
            question=question,
            messages=session.messages[:until],
            start=where.start,
            end=where.end,
            choices=choices,
            several=kind != "is_stop",
            origin=Origin(
                run=self._run, stage="label", output=self._output, session_id=session.session_id, turn=turn
            ),
            stratum=drawn.stratum,
            inclusion=round(drawn.inclusion, 6),
            split=drawn.split,
            why=drawn.why,
            votes=tuple(votes),
            expected=drawn.expected,
        )


def _fields(task: Task) -> tuple[Choice, ...]:
    return tuple(
        Choice(key=field.name, text=field.title, description=field.description) for field in task.fields
    )
