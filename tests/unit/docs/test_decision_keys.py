"""docs/reports.md names the keys of decisions.jsonl, and every line has all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from learntoask.core.json_lines import write_records
from learntoask.evaluation.decisions import DecisionRecord, RecordedGrade

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reports.md").read_text(encoding="utf-8")


def _documented(heading: str) -> set[str]:
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    first_cells = "\n".join(line.split("|")[1] for line in table.splitlines()[2:])
    return set(re.findall(r"`(\w+)`", first_cells))


def test_the_page_names_every_key_of_a_decision_and_of_a_grade() -> None:
    assert _documented("key | meaning") == set(DecisionRecord.model_fields)
    assert _documented("key of a grade | meaning") == set(RecordedGrade.model_fields)


def test_a_line_has_every_key(tmp_path: Path) -> None:
    grade = RecordedGrade(missing="the grader was unreachable")
    decision = DecisionRecord(
        session="s",
        task="t",
        group="t",
        seen=True,
        turn=0,
        policy="sft",
        decoding="sampled",
        completion=0,
        response="How old?",
        finished=True,
        tokens=3,
        truth="continue",
        target=("age",),
        reporting=grade,
        rewarding=grade,
    )
    write_records(tmp_path / "decisions.jsonl", [decision])
    line = json.loads((tmp_path / "decisions.jsonl").read_text(encoding="utf-8"))
    assert line.keys() == DecisionRecord.model_fields.keys()
    assert line["stop_logprob"] is None
    assert line["reporting"].keys() == RecordedGrade.model_fields.keys()
