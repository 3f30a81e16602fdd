"""Records of a review queue: the questions to people, what happened to each of them, and the answers that stand."""

from __future__ import annotations

from typing import Literal

from learntoask.core.digest import digest_of
from learntoask.core.records import Message, Record

Kind = Literal[
    "asks_for", "still_needed", "is_stop", "better", "same_field", "name", "required", "is_end", "personal"
]
"""What an item asks: which fields the marked messages ask for; whether a field is still to be asked there; whether it
is time to act there; which of two answers is better; whether two questions ask for one field; a name for what a
question asks for; whether the expert needs that; whether the expert acts with a message; whether personal data is
left."""
ItemSplit = Literal["show", "search", "anchor"]
"""What the answers are used for: shown as examples, to choose revisions, or to measure (sealed until then)."""
Why = Literal["disagreement", "audit", "repeat", "known"]
Answer = tuple[str, ...]
"""The keys of the chosen choices, sorted. `CANNOT_SAY` alone is an answer too; the empty tuple means none of them."""
CANNOT_SAY: Answer = ("?",)
_ASKED = {"kind", "task", "question", "messages", "start", "end", "choices", "several", "expected", "repeats"}
RESERVE = "reserve, "
"""How the stratum of an item begins that was drawn for a larger budget and is not asked."""
REVIEWER_NAME = r"^[^\W_](?:[\w .@+-]{0,62}[\w])?$"
"""The pattern of a reviewer's name: up to 64 letters, digits, spaces and `_.@+-`, of any script."""


class Choice(Record):
    """A choice; events and votes hold its `key`, and the page shows its `text` and, smaller, its `description`."""

    key: str
    text: str
    description: str = ""


class Vote(Record):
    """What a machine would answer, and its reason. The page shows it only after the reviewer has answered."""

    judge: str
    answer: Answer
    reason: str = ""


class Origin(Record):
    """Where an item comes from. `output` is the digest of the stage's output that it was drawn from."""

    run: str
    stage: str
    output: str
    session_id: str
    turn: int  # index into Session.turns


class ReviewItem(Record):
    """A question to a person about a conversation.

    The question is about `messages[start:end]`, which the page marks. An `is_stop` item asks what to do at that place,
    so the marked messages and all later ones are shown only after the answer. `several` allows more than one choice.
    `inclusion` is the probability with which this item was drawn from its `stratum`, in (0, 1]. `expected` is the right
    answer of a known item. `repeats` is the digest of the item that this one asks again.
    """

    kind: Kind
    task: str
    question: str
    messages: tuple[Message, ...]
    start: int
    end: int
    choices: tuple[Choice, ...]
    several: bool = False
    origin: Origin
    stratum: str
    inclusion: float
    split: ItemSplit
    why: Why
    votes: tuple[Vote, ...] = ()
    expected: Answer | None = None
    repeats: str | None = None

    @property
    def shown(self) -> int:
        """How many of the messages may be read before the answer."""
        return self.start if self.kind == "is_stop" else len(self.messages)

    @property
    def reveals(self) -> bool:
        """Whether the page shows something after the answer that may draw people to it: votes, or what the log says."""
        return bool(self.votes) or self.shown < len(self.messages)

    @property
    def digest(self) -> str:
        """The name of the item: 64 hex digits.

        It is computed from what a person sees and where that comes from. Another draw of the same question, with
        another probability or other votes, has the same name, so that the answers to it count again.
        """
        asked = self.model_dump(mode="json", include=_ASKED)
        return digest_of({**asked, "session": self.origin.session_id, "turn": self.origin.turn})


class Event(Record):
    """Something that a reviewer did with an item. `n` counts the reviewer's events on this item from 0.

    `time` is in seconds since the epoch and `seconds` is the time spent on the item. An `answered` event after another
    one changes the answer, and an `undone` event takes the last one back. `revealed` says that the reviewer had seen
    the machine's votes, and `adjudicated` that the answer decides between answers of others. `answer` is None except in
    `answered` events. `id` was made by the client for this action (empty: none), so that a request that is sent again
    after a lost response is not recorded twice.
    """

    item: str
    reviewer: str
    n: int
    kind: Literal["leased", "released", "answered", "undone", "skipped", "commented"]
    time: float
    seconds: float = 0.0
    answer: Answer | None = None
    revealed: bool = False
    adjudicated: bool = False
    comment: str = ""
    id: str = ""


class Retirement(Record):
    """An item that is no longer asked, and why. Its answers are kept, but they are not used."""

    item: str
    reason: str


ITEMS_FILE, ANSWERS_FILE = "items.jsonl", "answers.jsonl"
"""Files of the stages draw and review: ReviewItems and ReviewAnswers."""
EARLIER_FILE, CARRIED_FILE = "earlier.jsonl", "carried.jsonl"
"""Further files of the stage review: the Freezes before these answers, and CarriedItems."""


class Freeze(Record):
    """The items whose answers were published at one time, so that a stage may have looked at them.

    `answers` is the digest of the published answers.
    """

    answers: str
    items: tuple[str, ...]


class ReviewAnswer(Record):
    """A standing answer in the frozen set of a queue, `answers.jsonl`.

    `blind` is what the reviewer answered before the machine's votes were shown (None if unknown). `repeats` is the
    digest of the item that this one asked again, because such an item need not be in the items file. `adjudicated`
    marks the answer of a person who decided between those of others.
    """

    item: str
    reviewer: str
    answer: Answer
    blind: Answer | None
    repeats: str | None = None
    adjudicated: bool = False


class CarriedItem(Record):
    """An item of an earlier draw that the present one leaves out, with the answers that stand."""

    item: ReviewItem
    answers: tuple[ReviewAnswer, ...]
