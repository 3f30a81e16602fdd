"""The check of the experts' own questions for which a grader gives no grade."""

from __future__ import annotations

from pathlib import Path

import pytest
from learntoask.core.errors import TooManyMissing
from learntoask.core.manifest import Dataset
from learntoask.grading.grades import REFUSED, MissingGrade
from learntoask.grading.questions import QuestionCollector
from learntoask.grading.unsure_check import UnsureCheck, check_grader
from learntoask.labeling.check import check_file
from worlds import swahili

UNSURE, AWAY = MissingGrade("unsure"), MissingGrade("away")


def check(*grades) -> UnsureCheck:
    return UnsureCheck.of(
        "rewarding grader", grades, [f"Question {number}?" for number in range(len(grades))]
    )


def test_figures_name_the_commonest_reason_with_three_questions() -> None:
    found = check(*[UNSURE] * 4, AWAY, *[REFUSED] * 5)
    figures = found.figures()
    assert figures["no_grade"]["value"] == 0.5
    assert figures["reason"] == "unsure"
    assert figures["examples"] == ["Question 0?", "Question 1?", "Question 2?"]
    assert str(found).startswith(
        "the rewarding grader gives no grade for 5 of 10 of the experts' own labelled"
    )


@pytest.mark.parametrize(
    ("missing", "warns", "stops"), [(1, False, False), (2, True, False), (6, True, True)]
)
def test_above_a_tenth_it_warns_and_above_half_it_stops(missing: int, warns: bool, stops: bool) -> None:
    found = check(*[UNSURE] * missing, *[REFUSED] * (10 - missing))
    assert (found.warning() is not None) is warns
    if not stops:
        found.require()
        return
    with pytest.raises(TooManyMissing, match="add example questions to the fields of the pack"):
        found.require()


def test_no_questions_and_too_few_sessions_are_no_finding(tmp_path: Path) -> None:
    assert check().figures()["no_grade"]["value"] is None
    assert check().warning() is None
    collector = QuestionCollector(swahili.PACK)
    logs = swahili.write_logs(tmp_path / "logs.jsonl", 2)
    check_file(logs, swahili.PACK, Dataset(uri="logs.jsonl"), examine=collector.add)
    assert check_grader(collector.found(), swahili.PACK) is None


def test_the_filler_of_a_probe_is_what_the_experts_of_the_logs_say_besides(tmp_path: Path) -> None:
    collector = QuestionCollector(swahili.PACK)
    lines = swahili.write_logs(tmp_path / "logs.jsonl", 12)
    lines.write_text(lines.read_text(encoding="utf-8").replace(' wewe"', ' wewe?"'), encoding="utf-8")
    check_file(lines, swahili.PACK, Dataset(uri="logs.jsonl"), examine=collector.add)
    filler = collector.found().filler()
    assert filler.startswith(("Sawa, asante.", "Asante kwa maelezo."))
    assert len(filler.split()) >= 12
    assert not any(word in filler for word in ("umri", "mzio", "lini", "?"))
