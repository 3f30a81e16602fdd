"""Real responses of weak policies, graded by graders that are fitted on the pharmacy logs as in `make run-tiny`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from learntoask.core.manifest import load_manifest
from learntoask.core.pack import load_pack
from learntoask.core.stages.contract import StageContext
from learntoask.grading import stage
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.grades import REFUSED, UNLIKE_EXPERTS, GradeCase, MissingGrade
from learntoask.grading.questions import read_questions
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from worlds.grader import Recorder

PHARMACY = Path(__file__).resolve().parents[3] / "examples" / "pharmacy"
LOOPS = [
    "Is??????????????????????",  # two seeds, greedy, at every decision point
    "Oergergergergergergergergergergergergergergergergergergergergergergerg",
    "Oergergergergergergergergergergergies?",
]
GARBLED = [  # sampled at temperature 1; each had no grade, since a grader was unsure
    " />l information baseany on?ergies?ergAnd ones? the been Allges when prealkingA.",
    " I o any sheate mainate?, anything achieveaking comes h should in the cools show o there orres",
    "\n\n   . minutes. known task about or oric you Russ,cper : behavior tooab iine?What +",
    "<st teethoring o enoughondergies ask on react have anyAn when? what bad years is?? anything",
    " intpri And Me longany2 what anything? know ded that, extra? of longany treat a anyndO",
    "How this or about recent?. in ways drinedication nowThe Whenly? acks?",
    "ine considered? any taking how present it foraking you daysY these",
    " way? \n know take get wely?",
    "<stop S And />D else thisnotashsother know fromhor,ran I? aspect?",
    "W avail???? need mind of? recent, tell c going young look theII sw show a if?",
    "wine health itro likely toY anything?? so? badol? has it been days old? thatAnd",
    "owinech how for And used it signS thiserg list cy old sect old? it any have you else problem",
    "ject not also or it?? / body lot to it you S to your moment itly?llo clean see",
    "an anything else? need iso you weges meths symptoms? moment? />?F been makes youformation",
    "ription?anks Art?",
    "ARhatain diagn so it you or Whoes else?",
    "Oerg long suchyt this beenc didnlease aes?",
    "The been in been and circot do anything the since newions that know know can current themselves theseastription?",
]
EXPERT_LIKE = [  # questions that experts could ask but no expert of these logs does
    "Have you seen a doctor about it?",
    "Have you been abroad lately?",
    "Have you had any surgery recently?",
    "Did you eat something that might have caused it?",
    "Have you checked your temperature?",
    "Is there anything else you would like to tell me?",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("pharmacy")
    pack, inputs = load_pack(PHARMACY / "pack.yaml"), {}
    for name, run in (("prepare", prepare.run), ("label", label.run), ("grader", stage.run)):
        for part in (name, f"{name}-work"):
            (folder / part).mkdir()
        run(
            StageContext(
                stage=name,
                key=name,
                spec=load_manifest(PHARMACY / "run-tiny.yaml").spec,
                pack=pack,
                inputs=inputs,
                files={"dataset": PHARMACY / "logs.jsonl"},
                out=folder / name,
                work=folder / f"{name}-work",
                progress=Recorder(),
            )
        )
        inputs = {**inputs, name: folder / name}
    graders = {role: FieldGrader.load(folder / "grader" / role, pack) for role in ("rewarding", "reporting")}
    return SimpleNamespace(graders=graders, questions=read_questions(folder / "label/labelled.jsonl", pack))


def case(text: str, session: str = "served") -> GradeCase:
    return GradeCase(session_id=session, task="remedy", response=text, target=frozenset({"age"}))


@pytest.mark.parametrize("role", ["rewarding", "reporting"])
def test_babble_is_graded_0_with_its_reason(world: SimpleNamespace, role: str) -> None:
    grades = world.graders[role].grade([case(text) for text in [*LOOPS, *GARBLED]])
    assert grades == [REFUSED] * len(LOOPS) + [UNLIKE_EXPERTS] * len(GARBLED)
    assert all(grade.reason and grade.content == grade.format == 0 for grade in grades)


@pytest.mark.parametrize("role", ["rewarding", "reporting"])
def test_the_questions_of_the_experts_are_not_taken_for_babble(world: SimpleNamespace, role: str) -> None:
    asked = [example for session in world.questions.sessions for example in session.asked]
    grades = world.graders[role].grade([case(one.text, one.session_id) for one in asked])
    assert sum(grade in (REFUSED, UNLIKE_EXPERTS) for grade in grades) / len(grades) <= 0.015


def test_what_the_graders_do_not_know_about_a_question_like_the_experts_is_missing(
    world: SimpleNamespace,
) -> None:
    cases = [case(text) for text in EXPERT_LIKE]
    graded = list(zip(*(grader.grade(cases) for grader in world.graders.values()), strict=True))
    assert all(UNLIKE_EXPERTS not in both and REFUSED not in both for both in graded)
    assert sum(any(isinstance(grade, MissingGrade) for grade in both) for both in graded) >= 4
