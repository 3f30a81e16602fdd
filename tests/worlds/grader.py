"""A small domain with generated labelled sessions, for tests of the grader."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

from learntoask.core.manifest import GraderSettings
from learntoask.core.pack import Pack
from learntoask.core.records import (
    EndReason,
    Item,
    LabelledSession,
    Message,
    Provenance,
    Sample,
    Session,
    Turn,
)
from learntoask.core.stages.contract import StageContext

WORDINGS = {
    "departure_city": [
        "Where are you leaving from?",
        "Which city do you depart from?",
        "From where do you start",
    ],
    "destination": [
        "Where do you want to go?",
        "What is your destination?",
        "Which city are you heading to?",
    ],
    "departure_date": [
        "When do you want to leave?",
        "What is the date of departure?",
        "Tell me the day you leave.",
    ],
    "number_of_seats": [
        "How many seats do you need?",
        "For how many people?",
        "Give me the number of passengers.",
    ],
}
PACK = Pack.model_validate(
    {
        "name": "trips",
        "tasks": [
            {
                "name": name,
                "group": name,
                "fields": [
                    {"name": "departure_city", "description": "city the trip starts from"},
                    {"name": "destination", "description": "city the trip goes to"},
                    {"name": "departure_date", "description": "day the trip starts"},
                    {"name": "number_of_seats", "description": "how many people travel"},
                    {"name": "meal_choice", "description": "what is eaten on board"},
                ],
            }
            for name in ("bus", "train")
        ],
    }
)


def with_questions(field: str, questions: list[str]) -> Pack:
    """The pack with example questions for one field."""
    document = PACK.model_dump(mode="json")
    for task in document["tasks"]:
        for one in task["fields"]:
            if one["name"] == field:
                one["questions"] = questions
    return Pack.model_validate(document)


def labelled_session(
    number: int,
    turns: list[tuple[str, list[str]]],
    *,
    task: str = "bus",
    split: str = "train",
    labeller: str = "annotated",
) -> LabelledSession:
    """A labelled session. `turns` are the expert's texts with the fields that they ask for."""
    messages = [Message(role="user", content="I need a ticket.", author="user")]
    spans, samples = [], []
    for index, (text, asked) in enumerate(turns):
        spans.append(Turn(start=len(messages), end=len(messages) + 1))
        messages.append(Message(role="assistant", content=text, author="expert"))
        messages.append(Message(role="user", content="The one at noon.", author="user"))
        samples.append(
            Sample(
                turn=index,
                decision="continue",
                remaining=tuple(Item(field=name, value="noon") for name in asked),
                requested=tuple(asked),
                provenance=Provenance(labeller=labeller),
            )
        )
    session = Session(
        session_id=f"trip-{number}",
        split=split,
        task=task,
        messages=tuple(messages),
        turns=tuple(spans),
        end=EndReason.ABANDONED,
        stop_turn=None,
    )
    return LabelledSession(session=session, samples=tuple(samples))


def sessions(count: int = 60, seed: int = 0) -> list[LabelledSession]:
    """Sessions of two tasks, a fifth of them held out. No expert asks for `meal_choice`."""
    made = []
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        order = rng.sample(sorted(WORDINGS), 4)
        turns = [(rng.choice(WORDINGS[order[0]]), [order[0]]), (rng.choice(WORDINGS[order[1]]), [order[1]])]
        both = f"{rng.choice(WORDINGS[order[2]])} {rng.choice(WORDINGS[order[3]])}"
        turns.append((both, [order[2], order[3]]))
        split = "test" if number % 5 == 0 else "train"
        made.append(labelled_session(number, turns, task=rng.choice(["bus", "train"]), split=split))
    return made


def grader_context(
    folder: Path, labelled: list[LabelledSession], *, pack: Pack = PACK, encoder: str = "hashing"
):
    """The context of a stage grader over `labelled`, as the executor makes it."""
    for name in ("label", "out", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    lines = "".join(one.model_dump_json() + "\n" for one in labelled)
    (folder / "label" / "labelled.jsonl").write_text(lines, encoding="utf-8")
    return StageContext(
        stage="grader",
        key="key",
        spec=SimpleNamespace(grader=GraderSettings(encoder=encoder)),
        pack=pack,
        inputs={"label": folder / "label"},
        files={},
        out=folder / "out",
        work=folder / "work",
        progress=Recorder(),
    )


class Recorder:
    """A progress that records its updates."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float, str]] = []

    def update(self, done: float, total: float, message: str = "", **_: float) -> None:
        self.steps.append((done, total, message))
