"""What one reviewer did with one item: a fold over the events. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.review.records import Answer, Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """What a reviewer did with an item.

    `answer` is the last answer that was not undone. `blind` is the answer that stood when the machine's votes were
    first shown; `seen` says that they were, and `revealed` that an answer was given after that. `adjudicated` says that
    the standing answer decides between other people's. `answered` is the time of the standing answer, `leased` that of
    the last sign that the reviewer works on the item without an answer, and `latest` that of the last event (all in
    seconds since the epoch; None: not so, 0 for `latest`). `seconds` is the time spent until the standing answer. `ids`
    are those of the recorded requests.
    """

    answer: Answer | None = None
    blind: Answer | None = None
    revealed: bool = False
    seen: bool = False
    adjudicated: bool = False
    answered: float | None = None
    leased: float | None = None
    skipped: float | None = None
    seconds: float = 0.0
    comments: tuple[str, ...] = ()
    ids: frozenset[str] = frozenset()
    next_n: int = 0
    latest: float = 0.0

    @property
    def undoable(self) -> bool:
        """Whether there is an answer or a skip to take back."""
        return self.answer is not None or self.skipped is not None

    @property
    def changed(self) -> bool:
        """Whether the answer that stands is another one than before the machine's votes were shown."""
        return self.revealed and None not in (self.answer, self.blind) and self.answer != self.blind


NO_RESPONSE = Response()


def response_of(events: Sequence[Event]) -> Response:
    """Return the response of a reviewer to an item from all known events, which are ordered by `n`."""
    answers: list[Event] = []  # not undone
    unseen: list[Event] = []  # those of them that were given before the votes were shown
    last_unseen: Event | None = None
    revealed = False
    leased: float | None = None
    skipped: float | None = None
    for event in events:
        if event.kind == "answered":
            revealed = revealed or event.revealed
            answers.append(event)
            if not revealed:
                unseen.append(event)
                last_unseen = event
            leased = skipped = None
        elif event.kind == "undone":
            gone = answers.pop() if answers else None
            if gone in unseen and not revealed:
                unseen.remove(gone)
            leased, skipped = (event.time if not answers else None), None
        elif event.kind == "leased":
            leased, skipped = (None, None) if answers else (event.time, None)
        elif event.kind == "released":
            leased = None
        elif event.kind == "skipped":
            leased, skipped = None, (None if answers else event.time)
    standing = answers[-1] if answers else None
    # After "answer, see the votes, undo, answer" the undone answer is the one that the votes did not influence.
    blind = unseen[-1] if unseen else last_unseen if revealed else None
    return Response(
        answer=standing.answer if standing else None,
        blind=blind.answer if blind else None,
        revealed=revealed,
        seen=any(event.kind == "answered" for event in events),
        adjudicated=standing is not None and standing.adjudicated,
        answered=standing.time if standing else None,
        leased=leased,
        skipped=skipped,
        seconds=standing.seconds if standing else 0.0,
        comments=tuple(event.comment for event in events if event.kind == "commented"),
        ids=frozenset(event.id for event in events if event.id),
        next_n=events[-1].n + 1 if events else 0,
        latest=max((event.time for event in events), default=0.0),
    )
