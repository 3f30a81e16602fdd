"""Sessions with known answers, policies of known skill and graders that find field names, for tests of evaluation."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from learntoask.core.pack import Pack, parse_pack
from learntoask.core.records import (
    EndReason,
    Item,
    LabelledSession,
    Message,
    Provenance,
    Sample,
    Session,
    Turn,
    UserAnswer,
)
from learntoask.core.stages.contract import ProgressCallback
from learntoask.evaluation.decisions import UngradedDecision, targets
from learntoask.evaluation.policy import Dialogue, Reply
from learntoask.grading.grades import REFUSED, Grade, GradeCase, MissingGrade, question_grade

PACK: Pack = parse_pack(
    """
name: travel desk
tasks:
  - name: trains
    group: rail
    goal: Book a train
    fields: [{name: origin}, {name: destination}, {name: travel_date}, {name: seats}]
  - name: hotels
    group: stay
    goal: Book a room
    fields: [{name: city}, {name: arrival}, {name: nights}, {name: guests}]
""",
    where="test",
)
VALUES = {
    "origin": "Graz",
    "destination": "Linz",
    "travel_date": "on Monday",
    "seats": "<u>two</u>",
    "city": "Ulm",
    "arrival": "the 4th",
    "nights": "three",
    "guests": "four of us",
}


def title(name: str) -> str:
    return name.replace("_", " ")


def labelled(
    session_id: str, task: str, *, split: str = "test", asks: Sequence[str], stops: bool = True
) -> LabelledSession:
    """Return a session in which the expert asks for one field per turn and then stops (or the user leaves)."""
    messages = [Message(role="user", content=f"Hello, I need help with {task} <b>now</b>", author="user")]
    turns, answers = [], []
    for name in asks:
        turns.append(Turn(start=len(messages), end=len(messages) + 1))
        messages.append(Message(role="assistant", content=f"What is your {title(name)}?", author="expert"))
        answers.append(UserAnswer(field=name, value=VALUES[name], message=len(messages)))
        messages.append(Message(role="user", content=f"It is {VALUES[name]}, please", author="user"))
    if stops:
        turns.append(Turn(start=len(messages), end=len(messages)))
    provenance = Provenance(labeller="annotated")
    samples = [
        Sample(
            turn=index,
            decision="continue",
            remaining=tuple(Item(field=name, value=VALUES[name]) for name in asks[index:]),
            provenance=provenance,
        )
        for index in range(len(asks))
    ]
    if stops:
        samples.append(Sample(turn=len(asks), decision="stop", remaining=(), provenance=provenance))
    return LabelledSession(
        session=Session(
            session_id=session_id,
            split=split,
            task=task,
            messages=tuple(messages),
            turns=tuple(turns),
            end=EndReason.COMPLETED if stops else EndReason.ABANDONED,
            stop_turn=len(asks) if stops else None,
        ),
        samples=tuple(samples),
        answers=tuple(answers),
    )


def sessions(
    count: int, *, split: str = "test", tasks: Sequence[str] = ("trains", "hotels")
) -> list[LabelledSession]:
    chance = random.Random(f"{split}/{count}")
    made = []
    for index in range(count):
        task = tasks[index % len(tasks)]
        names = [field.name for field in PACK.task(task).fields]
        asks = chance.sample(names, chance.randint(1, 4))
        made.append(
            labelled(f"{split}-{index:03}", task, split=split, asks=asks, stops=chance.random() < 0.9)
        )
    return made


@dataclass
class SkilledPolicy:
    """A policy that asks right with probability `hit` and stops right with probability `stop`; it records its calls."""

    hit: float
    stop: float
    seed: int = 0
    calls: list[str] = field(default_factory=list)

    def decide(
        self,
        sessions: Sequence[LabelledSession],
        *,
        samples: int,
        temperature: float,
        seed: int,
        progress: ProgressCallback,
    ) -> list[UngradedDecision]:
        self.calls.append(f"decide {len(sessions)}")
        answers = []
        for session in sessions:
            for sample, target in zip(session.samples, targets(session), strict=True):
                for index in range(samples + 1):
                    greedy = index == 0
                    key = f"{self.seed}/{seed}/{session.session.session_id}/{sample.turn}/{index}"
                    answers.append(
                        UngradedDecision(
                            session=session.session.session_id,
                            task=session.session.task,
                            turn=sample.turn,
                            truth=sample.decision,
                            target=target,
                            decoding="greedy" if greedy else "sampled",
                            completion=0 if greedy else index - 1,
                            response=self._say(random.Random(key), session.session.task, target),
                            finished=True,
                            tokens=7,
                            stop_logprob=(-0.2 if sample.decision == "stop" else -2.5) if greedy else None,
                            assessment=target[:1],
                        )
                    )
        progress(len(sessions), len(sessions))
        return answers

    def reply(self, dialogues: Sequence[Dialogue]) -> list[Reply]:
        self.calls.append("reply")
        return [Reply(text=text, draft=text) for text in map(self._reply, dialogues)]

    def _reply(self, dialogue: Dialogue) -> str:
        said = " ".join(message.content for message in dialogue.messages if message.role == "assistant")
        wanted = [field.name for field in PACK.task(dialogue.task).fields if title(field.name) not in said]
        chance = random.Random(f"{self.seed}/{dialogue.session}/{len(dialogue.messages)}")
        return self._say(chance, dialogue.task, tuple(wanted[:2]))

    def _say(self, chance: random.Random, task: str, target: Sequence[str]) -> str:
        if chance.random() < (self.stop if not target else (1 - self.hit) / 4):
            return "<stop />" if self.stop else "I am only a language model, sorry."
        names = [field.name for field in PACK.task(task).fields]
        if target and chance.random() < self.hit:
            return f"What is your {title(chance.choice(list(target)))}?"
        if chance.random() < 0.1:
            return "Would hmm be fine?"
        return f"And your {title(chance.choice(names))} & {title(chance.choice(names))}?"


@dataclass(frozen=True)
class NameGrader:
    """A grader that finds field names and cannot grade `hmm`; if `lenient`, a third of all answers are hits."""

    lenient: bool = False

    @property
    def digest(self) -> str:
        return "1e4ada1e4ada1e4a" if self.lenient else "5eca9e5eca9e5eca"

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        return [self._grade(case) for case in cases]

    def _grade(self, case: GradeCase) -> Grade | MissingGrade:
        if "hmm" in case.response:
            return MissingGrade("no field is near enough <to be sure>")
        if "?" not in case.response:
            return REFUSED
        names = [field.name for field in PACK.task(case.task).fields]
        asked = frozenset(name for name in names if re.search(rf"\b{title(name)}\b", case.response))
        if self.lenient and case.target and len(case.response) % 3 == 0:
            asked = frozenset(sorted(case.target)[:1])
        return question_grade(asked, target=case.target)


AGREEMENT = {
    "kappa": {"value": 0.871, "low": 0.842, "high": 0.902},
    "measured_on": {"split": "test", "sessions": 200, "questions": 335},
    "reporting": {
        "questions": 335,
        "kappa": {"value": 0.871, "low": 0.842, "high": 0.902},
        "any_hit": {"value": 0.967, "low": 0.946, "high": 0.984},
        "unseen": {"questions": 170, "kappa": {"value": 0.845, "low": 0.801, "high": 0.889}},
    },
    "rewarding": {"questions": 335, "kappa": {"value": 0.861, "low": 0.831, "high": 0.894}},
    "same_findings": {"value": 0.958, "n": 331},
    "refused": {"made": {"value": 1.0, "n": 120}},
    "gold": {"labellers": ["annotated"], "note": "annotations of the logs"},
    "experts": {"refused": {"value": 0.119, "low": 0.089, "high": 0.158, "n": 335}},
    "unsure": {"rewarding": {"no_grade": {"value": 0.051, "low": 0.03, "high": 0.08, "n": 335}}},
    "warnings": ["the fluency guard refuses 40 of the experts' own 335 labelled questions (12%)"],
}


class Quiet:
    """A Progress that records the messages of its steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        if message not in self.steps:
            self.steps.append(message)


def write_labelled(path: Path, *, test: int = 40, train: int = 20) -> Path:
    made = [*sessions(train, split="train", tasks=("trains",)), *sessions(test)]
    path.write_text("".join(session.model_dump_json() + "\n" for session in made), encoding="utf-8")
    return path


def model_folder(path: Path, content: str) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(content)
    return path
