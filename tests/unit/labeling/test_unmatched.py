"""The check shows which questions match no pattern, in groups, and which patterns match nothing."""

from __future__ import annotations

from pathlib import Path

from learntoask.core.manifest import Dataset
from learntoask.core.pack import parse_pack
from learntoask.labeling.check import CheckReport, check_file
from worlds.induction import sessions, write

PACK = """
name: workshop
endMarkers: ['<booked>']
tasks:
  - name: default
    fields:
      - {name: kind, patterns: ['kind of bike', 'which colour']}
      - {name: day, patterns: ['day'], answerPatterns: ['\\bday\\b', '\\bnext year\\b']}
"""


def report(folder: Path) -> CheckReport:
    lines = sessions(40)
    for log in lines[:7]:
        log["messages"][1]["content"] = f"And the serial number {log['session_id']}, what is it?"
    return check_file(write(folder / "l.jsonl", lines), parse_pack(PACK, where="pack"), Dataset(uri="l"))


def test_unmatched_questions_are_grouped_by_their_words_the_commonest_first(tmp_path: Path) -> None:
    found = report(tmp_path)
    examples = [group.example for group in found.unmatched]
    assert any("phone number" in example for example in examples[:2])
    assert any("noise" in example for example in examples[:2])
    (serial,) = (group for group in found.unmatched if "serial number" in group.example)
    assert serial.count == 7
    assert [group.count for group in found.unmatched] == sorted(
        (group.count for group in found.unmatched), reverse=True
    )


def test_patterns_that_match_no_message_are_named(tmp_path: Path) -> None:
    assert report(tmp_path).never_matched == (
        ("default", "patterns of field kind", "which colour"),
        ("default", "answerPatterns of field day", r"\bday\b"),
        ("default", "answerPatterns of field day", r"\bnext year\b"),
    )


TWO_TASKS = """
name: workshop
endMarkers: ['<booked>']
taskFrom: [kind]
tasks:
  - name: bicycle
    fields: &fields
      - {name: kind, patterns: ['what kind of bike', 'which colour']}
      - {name: day, patterns: ['which day', 'what day']}
  - name: tricycle
    fields: *fields
"""


def test_a_pattern_that_one_of_two_tasks_uses_is_not_called_unused(tmp_path: Path) -> None:
    bicycle = [
        {"role": "expert", "content": "what kind of bike is it?"},
        {"role": "user", "content": "a racer"},
    ]
    tricycle = [{"role": "expert", "content": "which day suits you?"}, {"role": "user", "content": "friday"}]
    end = {"role": "expert", "content": "<booked>"}
    lines = [
        {
            "session_id": f"{kind}{n}",
            "kind": kind,
            "messages": [{"role": "user", "content": f"hi {n}"}, *talk, end],
        }
        for kind, talk in (("bicycle", bicycle), ("tricycle", tricycle))
        for n in range(40)
    ]
    found = check_file(
        write(tmp_path / "l.jsonl", lines), parse_pack(TWO_TASKS, where="pack"), Dataset(uri="l")
    )
    assert found.never_matched == (
        ("bicycle", "patterns of field kind", "which colour"),
        ("bicycle", "patterns of field day", "what day"),
    )
