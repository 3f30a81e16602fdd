"""Requests without a question mark are learned from the labels, in a language of which no phrases are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from learntoask.core.manifest import Dataset
from learntoask.core.pack import load_pack
from learntoask.core.records import LabelledSession
from learntoask.grading.cues import Cue, LearnedCues, read_cues, write_cues
from learntoask.grading.expert_check import ExpertCheck
from learntoask.grading.fluency import FluencyGuard
from learntoask.grading.learned_cues import FEWEST_SESSIONS, CueLearner
from learntoask.grading.nonquestions import non_questions
from learntoask.labeling.check import check_file
from worlds import swahili

PHARMACY = Path(__file__).resolve().parents[3] / "examples" / "pharmacy"


def labelled(folder: Path, sessions: int) -> list[LabelledSession]:
    found: list[LabelledSession] = []
    logs = swahili.write_logs(folder / "logs.jsonl", sessions)
    check_file(logs, swahili.PACK, Dataset(uri="logs.jsonl"), examine=found.append)
    return found


def learned(sessions: list[LabelledSession]) -> LearnedCues:
    learner = CueLearner(swahili.PACK)
    for session in sessions:
        learner.add(session)
    return learner.cues()


@pytest.fixture(scope="module")
def cues(tmp_path_factory: pytest.TempPathFactory) -> LearnedCues:
    return learned(labelled(tmp_path_factory.mktemp("sw"), 30))


def test_beginnings_that_serve_several_fields_and_repeated_requests_are_learned(cues: LearnedCues) -> None:
    found = {(cue.place, " ".join(cue.words)) for cue in cues.cues}
    assert {
        ("begins", "naomba"),
        ("begins", "tafadhali"),
        ("ends", "wewe"),
        ("is", "tangu lini unaumwa hivyo"),
    } <= found
    assert all(cue.sessions >= FEWEST_SESSIONS for cue in cues.cues)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Naomba kujua jina lako.", True),  # was never said
        ("Sawa. Una miaka mingapi wewe", True),
        ("Naomba", False),
        ("Asante kwa maelezo yako yote.", False),
        ("Nitakutafutia dawa nzuri leo.", False),
        ("siku tatu sasa", False),
        ("Naomba naomba naomba naomba kujua", False),
    ],
)
def test_the_guard_takes_requests_and_refuses_other_texts(text: str, asks: bool, cues: LearnedCues) -> None:
    assert not FluencyGuard(swahili.PACK).asking(text)
    assert bool(FluencyGuard(swahili.PACK, cues).asking(text)) is asks


def test_what_experts_say_on_acting_with_the_names_of_fields_is_refused(cues: LearnedCues) -> None:
    guard = FluencyGuard(swahili.PACK, cues)
    told = ["Asante kwa maelezo.", "Nitakutafutia dawa nzuri."]
    made = [text for _, text in non_questions(swahili.PACK, told)]
    assert any(text.startswith("Nitakutafutia") and "umri" in text for text in made)
    assert not [text for text in made if guard.asking(text)]


def test_a_request_in_too_few_sessions_teaches_nothing(tmp_path: Path) -> None:
    assert not learned(labelled(tmp_path, FEWEST_SESSIONS - 1))


def test_an_acknowledgement_that_also_comes_before_other_sentences_is_no_cue(cues: LearnedCues) -> None:
    assert not [cue for cue in cues.cues if "asante" in cue.words or "sawa" in cue.words]


def test_logs_whose_requests_the_phrases_of_their_language_fit_teach_nothing() -> None:
    pack = load_pack(PHARMACY / "pack.yaml")
    learner = CueLearner(pack)
    check_file(PHARMACY / "logs.jsonl", pack, Dataset(uri="logs.jsonl"), examine=learner.add)
    assert learner.cues() == LearnedCues()


def test_a_check_of_the_logs_counts_what_a_run_would_learn(tmp_path: Path) -> None:
    experts = ExpertCheck(swahili.PACK)
    for session in labelled(tmp_path, 30):
        experts.add(session)
    before = experts.figures()["experts"]["refused"]["value"]
    experts.finish()
    assert before == 1.0
    assert experts.figures()["experts"]["refused"]["value"] <= 0.02
    assert any("ways of asking without a question mark" in finding for finding in experts.findings())
    assert experts.figures()["unsure"]["no_grade"]["value"] <= 0.1


def test_published_cues_are_read_as_they_were_and_none_leave_no_file(
    cues: LearnedCues, tmp_path: Path
) -> None:
    write_cues(tmp_path, LearnedCues())
    assert not list(tmp_path.iterdir())
    assert read_cues(tmp_path) == LearnedCues()
    write_cues(tmp_path, cues)
    assert read_cues(tmp_path) == cues


def test_an_end_is_found_behind_other_words_only() -> None:
    cue = Cue(place="ends", words=("wako",), sessions=5, fields=2, others=0)
    assert cue.match(("umri", "wako"))
    assert not cue.match(("wako",))
    assert not cue.match(("wako", "umri"))
