"""Figures of a queue: how many answers are missing and how long they take, and how far they can be trusted. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from learntoask.core.records import Record
from learntoask.review.agreement import Agreement, agreement, between_people
from learntoask.review.flags import Flag, reviewer_flags
from learntoask.review.next_item import questions_left
from learntoask.review.records import CANNOT_SAY
from learntoask.review.state import QueueState

_FEW = 5  # answers below which "all of them are" says nothing


class Count(Record):
    """Answers that are required and given. A surplus answer is none of the required ones."""

    kind: str
    split: str
    items: int
    needed: int
    given: int
    surplus: int

    @property
    def missing(self) -> int:
        return self.needed - self.given


class Share(Record):
    """`hits` of `n`."""

    hits: int
    n: int


class ReviewerStatus(Record):
    """What a reviewer did. `seconds` is the median time for an answer, None without answers."""

    name: str
    answers: int
    seconds: float | None
    self_agreement: Share
    attention: Share
    changed: Share
    flags: tuple[Flag, ...]


class QueueStatus(Record):
    """Figures of a queue.

    `seconds` is the median time for an answer, and `minutes_left` the time of one person for all that is missing.
    `by_another` are the missing answers that the only person who has answered so far, or anybody if nobody has, cannot
    give, because items need two people; 0 once several people answer.
    `self_agreement` counts equal answers to repeats, `attention` right answers to known items, `changed` answers that
    were changed after the machine's votes were shown, of those that were given before. `notices` are sentences about
    what stands in the way of a decision.
    """

    needed: int
    given: int
    missing: int
    by_another: int
    surplus: int
    cannot_say: int
    retired: int
    counts: tuple[Count, ...]
    seconds: float | None
    minutes_left: float
    between_people: Agreement
    self_agreement: Share
    attention: Share
    changed: Share
    reviewers: tuple[ReviewerStatus, ...]
    notices: tuple[str, ...]


class Progress(Record):
    """How far somebody is, for the page: `answered` of `total`, with the seconds that the rest takes.

    For a reviewer the total is the number of questions that the reviewer has answered and would still be asked if
    nobody else answered, known and repeated ones included; `at_most` says that others do answer. `what` names what is
    counted, `done` says that no answer is missing, of anybody, and `decides` what the answers decide.
    """

    what: str
    answered: int
    total: int
    at_most: bool = False
    done: bool
    seconds_left: float | None
    decides: str


def progress(state: QueueState, reviewer: str) -> Progress:
    """Return how far a reviewer is."""
    own = state.reviewers[reviewer]
    answered = sum(1 for digest in own.answered if digest not in state.retired)
    left = questions_left(state, reviewer)
    return Progress(
        what="questions",
        answered=answered,
        total=answered + left,
        at_most=any(did.answered for name, did in state.reviewers.items() if name != reviewer),
        done=state.required_given >= state.all_required,
        seconds_left=left * own.seconds.expected(),
        decides=state.settings.decides,
    )


def queue_status(state: QueueState) -> QueueStatus:
    """Return the figures of a queue, in a time proportional to its items and answers."""
    counts = _counts(state)
    needed, given = sum(count.needed for count in counts), sum(count.given for count in counts)
    reviewers = tuple(_reviewer(state, name) for name in sorted(state.reviewers) if _answers(state, name))
    seconds = state.seconds.median(0.0) if len(state.seconds) else None
    answers = [r for item, _, r in state.answers() if item not in state.retired]
    return QueueStatus(
        needed=needed,
        given=given,
        missing=needed - given,
        by_another=_by_another(state, [reviewer.name for reviewer in reviewers]),
        surplus=sum(count.surplus for count in counts),
        cannot_say=sum(1 for response in answers if response.answer == CANNOT_SAY),
        retired=sum(
            1 for digest in state.retired if digest in state.items and not state.items[digest].repeats
        ),
        counts=counts,
        seconds=seconds,
        minutes_left=(needed - given) * state.seconds.expected() / 60,
        between_people=between_people(state),
        self_agreement=_sum(reviewer.self_agreement for reviewer in reviewers),
        attention=_sum(reviewer.attention for reviewer in reviewers),
        changed=_sum(reviewer.changed for reviewer in reviewers),
        reviewers=reviewers,
        notices=tuple(_notices(state)),
    )


def _by_another(state: QueueState, names: Sequence[str]) -> int:
    if len(names) > 1:
        return 0
    answered = {digest for name in names for digest in state.reviewers[name].answered}
    return sum(
        max(0, state.required(digest) - state.given(digest) - (digest not in answered))
        for digest in state.items
    )


def _counts(state: QueueState) -> tuple[Count, ...]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for digest, item in state.items.items():
        required = state.required(digest)
        if required:
            given = state.given(digest)
            added = (1, required, min(given, required), max(0, given - required))
            sums[item.kind, item.split] = [
                total + more for total, more in zip(sums[item.kind, item.split], added, strict=True)
            ]
    return tuple(
        Count(kind=kind, split=split, items=items, needed=needed, given=given, surplus=surplus)
        for (kind, split), (items, needed, given, surplus) in sorted(sums.items())
    )


def _answers(state: QueueState, reviewer: str) -> list[str]:
    return [digest for digest in state.reviewers[reviewer].answered if digest not in state.retired]


def _reviewer(state: QueueState, name: str) -> ReviewerStatus:
    own, answered = state.reviewers[name], _answers(state, name)
    responses = {digest: state.response(digest, name) for digest in answered}
    repeats = [
        (state.items[digest], response.answer, first)
        for digest, response in responses.items()
        if response.answer is not None
        and state.items[digest].why == "repeat"
        and (first := state.response(state.items[digest].repeats or "", name).answer) is not None
    ]
    known = [digest for digest in answered if state.items[digest].why == "known"]
    blind = [response for response in responses.values() if response.blind is not None]
    return ReviewerStatus(
        name=name,
        answers=len(answered),
        seconds=own.seconds.median(0.0) if len(own.seconds) else None,
        self_agreement=Share(hits=agreement(repeats).same, n=len(repeats)),
        attention=Share(
            hits=sum(1 for digest in known if responses[digest].blind == state.items[digest].expected),
            n=len(known),
        ),
        changed=Share(hits=sum(1 for response in blind if response.changed), n=len(blind)),
        flags=reviewer_flags(state, name),
    )


def _sum(shares: Iterable[Share]) -> Share:
    found = list(shares)
    return Share(hits=sum(share.hits for share in found), n=sum(share.n for share in found))


def _notices(state: QueueState) -> Iterator[str]:
    answers = [r.answer for item, _, r in state.answers() if state.required(item)]
    if len(answers) >= _FEW and all(answer == CANNOT_SAY for answer in answers):
        yield (
            f"All {len(answers)} answers are “cannot say”, so that nothing can be measured; check the question and the "
            "guideline"
        )
    anchors = [
        digest for digest, item in state.items.items() if item.split == "anchor" and state.required(digest)
    ]
    wanted = state.settings.gate_items
    if anchors and len(anchors) < wanted:
        yield (
            f"The gate needs {wanted} anchor items, and the queue has {len(anchors)}: draw {wanted - len(anchors)} more"
        )
    by_all = [digest for digest in state.items if state.required(digest) and _only_skipped(state, digest)]
    if by_all:
        noun = "item was" if len(by_all) == 1 else "items were"
        yield f"{len(by_all)} {noun} skipped and answered by no one yet; “cannot say” would be an answer"


def _only_skipped(state: QueueState, digest: str) -> bool:
    responses = state.responses(digest).values()
    return bool(responses) and all(r.answer is None and r.skipped is not None for r in responses)
