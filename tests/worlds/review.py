"""A review page on loopback, and questions for it: those of a pharmacy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from learntoask.core.records import Message
from learntoask.review.page.access import Person, Role, TrustedProxy
from learntoask.review.page.app import ReviewPage
from learntoask.review.page.guideline import FieldNote, Guideline, Wording
from learntoask.review.page.server import bind, in_thread, link_of
from learntoask.review.queue import ReviewQueue
from learntoask.review.records import Answer, Choice, Origin, ReviewItem, Vote, Why
from learntoask.review.settings import ReviewSettings
from learntoask.review.storage.folder import FolderStorage

JSON = {"Accept": "application/json"}
KEY = b"0123456789abcdef0123456789abcdef"
FIELDS = {
    "symptom": "What hurts, or what the medicine is for.",
    "duration": "Since when the patient has it.",
    "age": "How old the patient is.",
    "pregnancy": "Whether the patient is pregnant or breastfeeding.",
    "other_medicines": "What else the patient takes.",
    "allergies": "Substances that the patient does not tolerate.",
}
TALK = (
    "Hi, do you have something for a really bad headache? It will not go away.",
    "I am sorry to hear that. How long have you had it?",
    "Since yesterday morning, on and off. I slept badly and then it came back at work.",
    "And do you take any other medicines at the moment?",
    "Only something for my blood pressure, ramipril I think.",
)
WORDING = Wording(
    title="clinic",
    user="patient",
    expert="pharmacist",
    language="en",
    guidelines={
        "pharmacy": Guideline(
            goal="Find out what the patient needs before recommending a medicine.",
            stopping="Stop once nothing that matters for the recommendation is missing.",
            fields=tuple(
                FieldNote(
                    key=key,
                    title=key.replace("_", " "),
                    description=text,
                    required=key != "pregnancy",
                    values=("pregnant", "breastfeeding", "neither") if key == "pregnancy" else (),
                    questions=(f"What about {key}?",),
                )
                for key, text in FIELDS.items()
            ),
        )
    },
)


def question(
    number: int,
    *,
    contents: Sequence[str] = TALK,
    votes: Sequence[tuple[str, Answer, str]] = (
        ("lexicon", ("other_medicines",), "“any other medicines” is a pattern of other_medicines"),
        ("model-free", ("allergies",), "closest to the examples of allergies (0.61 against 0.58)"),
    ),
    several: bool = True,
    why: Why = "disagreement",
    text: str = "Which of these does the marked message ask for?",
    choices: Sequence[tuple[str, ...]] = tuple((key, key.replace("_", " ")) for key in FIELDS),
    mark: tuple[int, int] = (3, 4),
    expected: Answer | None = None,
) -> ReviewItem:
    """Return an item; `number` makes it another one than those with other numbers.

    `choices` are keys and texts, and descriptions if there are any.
    """
    return ReviewItem(
        kind="asks_for" if several else "is_stop",
        task="pharmacy",
        question=text,
        messages=tuple(
            Message(
                role="assistant" if at % 2 else "user", author="expert" if at % 2 else "user", content=content
            )
            for at, content in enumerate(contents)
        ),
        start=mark[0],
        end=mark[1],
        choices=tuple(Choice(key=key, text=text, description=" ".join(more)) for key, text, *more in choices),
        several=several,
        origin=Origin(run="clinic", stage="label", output="0" * 64, session_id=f"s{number}", turn=1),
        stratum="disputed",
        inclusion=0.5,
        split="search",
        why=why,
        votes=tuple(Vote(judge=judge, answer=answer, reason=reason) for judge, answer, reason in votes),
        expected=expected,
    )


def yes_or_no(number: int, **changes: object) -> ReviewItem:
    settings: dict[str, object] = {
        "several": False,
        "text": "Is it time to act here?",
        "choices": (("yes", "Yes, nothing is missing"), ("no", "No, ask on")),
        "votes": (("lexicon", ("yes",), "no field is left"),),
        "why": "audit",
        "mark": (3, 4),
    }
    return question(number, **{**settings, **changes})  # type: ignore[arg-type]


def folder_queue(folder: Path, items: Sequence[ReviewItem], **settings: object) -> ReviewQueue:
    """Return a queue of one-answer items in `folder`, without repeats and known items unless `settings` say so."""
    plain = {
        "double_share": 0.0,
        "repeat_every": 0,
        "known_every": 0,
        "decides": "Then the grader is accepted or not.",
    }
    queue = ReviewQueue(
        FolderStorage(folder), name="clinic", settings=ReviewSettings.model_validate({**plain, **settings})
    )
    queue.add(items)
    return queue


@dataclass(frozen=True)
class RunningPage:
    """A served page. `link` makes the address that admits a person."""

    address: str
    queue: ReviewQueue
    key: bytes

    def link(self, name: str = "ann", role: Role = Role.REVIEWER, *, expires: float = 4e9) -> str:
        return link_of(
            self.address, Person(name=name, role=role, queue=self.queue.name, expires=expires), self.key
        )


@contextmanager
def running_page(
    queue: ReviewQueue, *, port: int = 0, proxy: TrustedProxy | None = None
) -> Iterator[RunningPage]:
    """Serve the page of `queue` on loopback until the block ends."""
    with in_thread(ReviewPage(queue, WORDING, KEY, proxy=proxy).app(), bind("127.0.0.1", port)) as address:
        yield RunningPage(address, queue, KEY)


@contextmanager
def client_of(running: RunningPage, name: str = "ann", role: Role = Role.REVIEWER) -> Iterator[httpx2.Client]:
    """Return an HTTP client that has opened the person's link."""
    with httpx2.Client(base_url=running.address, follow_redirects=True) as client:
        assert client.get(running.link(name, role)).status_code == 200
        yield client


def fields(html: str, item: str = "") -> dict[str, str]:
    """Return the hidden fields of the first form of a page."""
    form = re.search(r'<form class="keys".*?</form>', html, re.DOTALL)
    assert form
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.group()))


def post(client: httpx2.Client, path: str, /, **data: object) -> httpx2.Response:
    return client.post(path, data=data, headers=JSON)
