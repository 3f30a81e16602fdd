"""Real questions with the answers of real machines and of the gold data: SGD and the pharmacy example."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from learntoask.calibration.gate import JudgedItem
from learntoask.core.json_lines import read_records
from learntoask.core.manifest import Dataset, Label
from learntoask.core.pack import Pack, load_pack
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import StageContext
from learntoask.grading.encoders.caching import CachingEncoder, load_encoder
from learntoask.grading.examples import Example, asking_turns
from learntoask.grading.fields.fitting import fit_grader
from learntoask.grading.grades import Grade
from learntoask.grading.questions import read_questions
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from learntoask.statistics.kappa import kappa

from calibration_goals.gold import pharmacy_gold

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("LTA_DATA", ROOT.parent / "shared/data")) / "sgd"
PHARMACY = ROOT / "examples/pharmacy"


@dataclass(frozen=True, kw_only=True)
class Question:
    """An expert question: the fields that it asks for by the gold data, a machine and a second machine."""

    session_id: str
    task: str
    choices: frozenset[str]
    gold: frozenset[str]
    machine: frozenset[str]
    second: frozenset[str]
    chances: Mapping[str, float] = field(default_factory=dict)
    """The machine's probability that the question asks for a field; where it has none, its answer counts."""

    def hit_chance(self, needed: frozenset[str]) -> float:
        """Return how likely the machine thinks that the question asks for any of these fields."""
        if not self.chances:
            return float(bool(self.machine & needed))
        return 1 - math.prod(1 - self.chances[name] for name in needed & self.choices)

    def item(
        self, person: frozenset[str] | None = None, stratum: str = "", inclusion: float = 1.0
    ) -> JudgedItem:
        """The item as `person` answers it, or as the gold data do."""
        return JudgedItem(
            session_id=self.session_id,
            choices=self.choices,
            person=self.gold if person is None else person,
            machine=self.machine,
            stratum=stratum,
            inclusion=inclusion,
        )


@dataclass(frozen=True, kw_only=True)
class Point:
    """A decision point: the fields still to be obtained by the gold data, and by the machine's labels."""

    session_id: str
    task: str
    gold: frozenset[str]
    machine: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The questions and decision points of one example, and which machine answered them."""

    name: str
    machine: str = ""
    questions: tuple[Question, ...] = ()
    points: tuple[Point, ...] = ()


class _Quiet:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


def sgd(encoder_name: str) -> Domain:
    """SGD: the machine is the reporting grader (trees), the second one the rewarding grader; gold are the annotations.

    Each grader is fitted on one half of the sessions and leaves the session that it grades out.
    """
    with tempfile.TemporaryDirectory() as folder:
        pack_file = Path(folder, "pack.yaml")
        subprocess.run(
            [sys.executable, ROOT / "examples/sgd/make_pack.py", "--data", DATA, "--out", pack_file],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        pack = load_pack(pack_file)
        labelled_file = _labelled(
            Path(folder), pack, DATA / "train.jsonl", "annotated", test=DATA / "test.jsonl"
        )
        questions = read_questions(labelled_file, pack)
        labelled = list(read_records(labelled_file, LabelledSession))
    encoder = CachingEncoder(load_encoder(encoder_name))
    answers: list[list[frozenset[str]]] = []
    chances: list[Mapping[str, float]] = []
    asked = [example for session in questions.sessions for example in session.asked]
    for kind, half in zip(("trees", "linear"), questions.halves(), strict=True):
        grader, _ = fit_grader(
            [example for session in half for example in session.asked],
            [example for session in half for example in session.idle],
            pack=pack,
            kind=kind,
            encoder=encoder,
            step=lambda done, total, what: None,
        )
        grades = grader.grade([example.case() for example in asked])
        answers.append([grade.asked if isinstance(grade, Grade) else frozenset() for grade in grades])
        if kind == "trees":
            keys = [(example.session_id, example.task, example.text) for example in asked]
            chances = [
                {name: one.asks * chance for name, chance in one.probabilities.items()}
                for one in grader.estimates(keys)
            ]
    return Domain(
        name="SGD",
        machine=f"reporting grader ({encoder_name})",
        questions=tuple(
            Question(
                session_id=example.session_id,
                task=example.task,
                choices=pack.task(example.task).field_names,
                gold=example.asked,
                machine=machine,
                second=second,
                chances=chance,
            )
            for example, machine, second, chance in zip(asked, *answers, chances, strict=True)
        ),
        points=tuple(
            Point(session_id=one.session.session_id, task=one.session.task, gold=fields, machine=fields)
            for one in labelled
            for sample in one.samples
            if sample.decision == "continue"
            for fields in [frozenset(item.field for item in sample.remaining)]
        ),
    )


def pharmacy() -> Domain:
    """Pharmacy: the machine is the lexicon labeller, the second one a grader fitted on its labels."""
    pack = load_pack(PHARMACY / "pack.yaml")
    with tempfile.TemporaryDirectory() as folder:
        labelled_file = _labelled(Path(folder), pack, PHARMACY / "logs.jsonl", "lexicon")
        labelled = list(read_records(labelled_file, LabelledSession))
        questions = read_questions(labelled_file, pack)
    gold = pharmacy_gold()
    grader, _ = fit_grader(
        [example for session in questions.sessions for example in session.asked],
        [example for session in questions.sessions for example in session.idle],
        pack=pack,
        kind="linear",
        encoder=CachingEncoder(load_encoder("hashing")),
        step=lambda done, total, what: None,
    )
    found, points = [], []
    for one in labelled:
        session, texts = (
            one.session,
            {sample.turn: example.text for sample, example in asking_turns(one, pack)},
        )
        for sample in one.samples:
            turn = session.turns[sample.turn]
            truth = gold[session.session_id]
            text = texts.get(sample.turn) or " ".join(
                message.content for message in session.messages[turn.start : turn.end]
            )
            if sample.decision == "continue":
                points.append(
                    Point(
                        session_id=session.session_id,
                        task=session.task,
                        gold=truth.goals[turn.start],
                        machine=frozenset(item.field for item in sample.remaining),
                    )
                )
            if not text.strip():
                continue
            (grade,) = grader.grade(
                [
                    Example(
                        session_id=session.session_id, task=session.task, text=text, asked=frozenset()
                    ).case()
                ]
            )
            found.append(
                Question(
                    session_id=session.session_id,
                    task=session.task,
                    choices=pack.task(session.task).field_names,
                    gold=truth.asks[turn.start],
                    machine=frozenset(sample.requested),
                    second=grade.asked if isinstance(grade, Grade) else frozenset(),
                )
            )
    return Domain(name="pharmacy", machine="lexicon labeller", questions=tuple(found), points=tuple(points))


def _labelled(folder: Path, pack: Pack, logs: Path, method: str, **files: Path) -> Path:
    """Run the stages prepare and label, and return the file of labelled sessions."""
    spec = SimpleNamespace(dataset=Dataset(uri=logs.name), label=Label(method=method))
    inputs: dict[str, Path] = {}
    for name, run in (("prepare", prepare.run), ("label", label.run)):
        out, work = folder / name, folder / f"{name}-work"
        out.mkdir()
        work.mkdir()
        run(
            StageContext(
                stage=name,
                key=name,
                spec=spec,
                pack=pack,
                inputs=dict(inputs),
                files={"dataset": logs, **files},
                out=out,
                work=work,
                progress=_Quiet(),
            )
        )
        inputs[name] = out
    return inputs["label"] / "labelled.jsonl"


def true_kappa(questions: Sequence[Question]) -> float:
    """Return κ between the machine and the gold data over all questions."""
    counts = np.zeros(4)
    for question in questions:
        both = len(question.gold & question.machine)
        only_gold, only_machine = len(question.gold) - both, len(question.machine) - both
        counts += both, only_gold, only_machine, len(question.choices) - both - only_gold - only_machine
    return float(kappa(counts.reshape(2, 2)))


def with_kappa(questions: Sequence[Question], target: float, random: np.random.Generator) -> list[Question]:
    """Return the questions with the machine made worse, or better, until its κ is just below `target`.

    It is made worse by giving it, for random questions, what it found in another question of the same task, and better
    by mending random errors, so most of its errors remain those of the real machine.
    """
    order = random.permutation(len(questions))
    by_task: dict[str, list[int]] = defaultdict(list)
    for index, question in enumerate(questions):
        by_task[question.task].append(index)
    others = [int(random.choice(by_task[question.task])) for question in questions]
    worse = true_kappa(questions) > target

    def changed(count: int) -> list[Question]:
        found = list(questions)
        for index in order[:count]:
            answer = questions[others[index]].machine if worse else questions[index].gold
            found[index] = replace(questions[index], machine=answer)
        return found

    low, high = 0, len(questions)
    while high - low > 1:
        middle = (low + high) // 2
        if (true_kappa(changed(middle)) > target) == worse:
            low = middle
        else:
            high = middle
    return changed(high if worse else low)


def answer_of(question: Question, error_rate: float, random: np.random.Generator) -> frozenset[str]:
    """Return the answer of a reviewer who, with this probability, gets one choice of the question wrong."""
    if random.random() >= error_rate:
        return question.gold
    choices = sorted(question.choices)
    return question.gold ^ {choices[int(random.integers(len(choices)))]}
