"""An existing pack gets what its logs show that it misses, and keeps everything else as it was written."""

from __future__ import annotations

import pytest
from learntoask.core.errors import InputError
from learntoask.core.pack import parse_pack
from learntoask.grading.encoders.hashing import HashingEncoder
from learntoask.induction.from_logs import suggest_from_logs
from learntoask.induction.suggestion import Suggestion
from learntoask.induction.update.changes import NewField, NewPattern, PackChanges, WrongPattern, pack_changes
from learntoask.induction.update.edit import diff, edited
from learntoask.labeling.logs.patterns import any_of
from worlds.induction import ASKED, sessions, write

PACK = """\
# My workshop
name: workshop
endMarkers: ['<booked>']
tasks:
  - name: default
    fields:
      - name: kind
        patterns: ['what kind of bike']   # the short way
      - name: begin
        patterns:
          # since when
          - 'since when does'
          - 'how long ago'                # never asked
      - name: visit
        patterns:
          - 'which day'
          - 'phone number'
# the end
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Suggestion:
    logs = write(tmp_path_factory.mktemp("logs") / "logs.jsonl", sessions(80))
    return suggest_from_logs(logs, encoder=HashingEncoder(), pack=parse_pack(PACK, where="pack"))


@pytest.fixture(scope="module")
def review(found: Suggestion) -> PackChanges:
    return pack_changes(parse_pack(PACK, where="pack"), found)


def test_fields_get_patterns_for_the_questions_that_they_miss(review: PackChanges) -> None:
    added = [change for change in review.changes if isinstance(change, NewPattern)]
    missed = {"kind": "Which kind of bike do you ride?", "begin": "Since when has the noise been there?"}
    for field, question in missed.items():
        assert any_of(tuple(change.pattern for change in added if change.field == field))(question), field


def test_patterns_that_match_nothing_are_named(review: PackChanges) -> None:
    assert review.unused == (("default", "begin", "how long ago"),)


def test_a_pattern_that_finds_another_field_teaches_wrong_labels() -> None:
    """`visit` is asked for by the day, but half of what it finds asks for the phone number."""
    text = PACK + ""
    pack = parse_pack(
        text.replace("- 'which day'\n", "- 'which day'\n          - 'on which'\n"), where="pack"
    )
    assert pack.tasks[0].fields[2].patterns == ("which day", "on which", "phone number")


def test_the_text_keeps_its_comments_and_becomes_a_pack_that_finds_more(review: PackChanges) -> None:
    new = edited(PACK, review.changes, where="pack.yaml")
    pack = parse_pack(new, where="pack")
    for comment in ("# My workshop", "# the short way", "# since when", "# never asked", "# the end"):
        assert comment in new
    questions = [text for name in ("bike", "since") for text in ASKED[name]]
    search = any_of(tuple(pattern for field in pack.tasks[0].fields for pattern in field.patterns))
    assert all(search(text) for text in questions)
    assert edited(new, (), where="pack.yaml") == new


def test_the_diff_shows_only_what_changes(review: PackChanges) -> None:
    shown = diff(PACK, edited(PACK, review.changes, where="pack.yaml"), name="pack.yaml")
    assert shown.startswith("--- pack.yaml\n+++ pack.yaml (suggested)\n")
    assert not any(line.startswith("-") and "since when" in line for line in shown.splitlines())
    assert diff(PACK, PACK, name="pack.yaml") == ""


def test_a_new_field_is_added_to_its_task(found: Suggestion) -> None:
    short = PACK[: PACK.index("      - name: visit")] + "# the end\n"
    changes = pack_changes(parse_pack(short, where="pack"), found).changes
    new = parse_pack(edited(short, changes, where="pack.yaml"), where="pack")
    assert sum(isinstance(change, NewField) for change in changes) == 2
    assert len(new.tasks[0].fields) == 4


def test_a_new_field_gets_a_name_that_the_task_does_not_have(found: Suggestion) -> None:
    names = [use.field.name for use in found.tasks[0].fields]
    fields = "".join(
        f"      - name: {name}\n        patterns: ['{pattern}']\n"
        for name, pattern in (
            (names[0], "day"),  # its pattern finds the questions of another suggestion
            (names[1], "nobody says this"),  # finds nothing, so its name decides
        )
    )
    text = f"name: workshop\ntasks:\n  - name: default\n    fields:\n{fields}"
    changes = pack_changes(parse_pack(text, where="pack"), found).changes
    pack = parse_pack(edited(text, changes, where="pack.yaml"), where="pack")
    got = [field.name for field in pack.tasks[0].fields]
    assert got[:2] == names[:2]
    assert len(set(got)) == len(got)
    assert set(got) <= {*names, f"{names[0]}_2"}


def test_a_pattern_is_removed_with_its_line() -> None:
    change = WrongPattern("default", "begin", "how long ago", 9, 8, "How long ago?")
    new = edited(PACK, (change,), where="pack.yaml")
    assert new == PACK.replace("          - 'how long ago'                # never asked\n", "")


def test_a_field_without_patterns_gets_the_key() -> None:
    text = (
        "name: x\ntasks:\n  - name: default\n    fields:\n      - name: age\n        description: how old\n"
    )
    new = edited(text, (NewPattern("default", "age", r"\bhow old\b", 3, "How old?"),), where="pack.yaml")
    assert parse_pack(new, where="pack").tasks[0].fields[0].patterns == (r"\bhow old\b",)


def test_a_text_without_room_for_a_change_is_said() -> None:
    text = "name: x\ntasks: [{name: default, fields: [{name: age}]}]\n"
    with pytest.raises(InputError, match=r"pack\.yaml, line 2: nothing can be added between braces"):
        edited(text, (NewPattern("default", "age", "old", 3, "How old?"),), where="pack.yaml")
