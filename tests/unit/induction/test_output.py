"""The files of `lta init` are valid, the same for the same logs, and show text of the logs as text."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import yaml
from learntoask.core.errors import InputError
from learntoask.core.manifest import load_manifest
from learntoask.core.pack import load_pack, parse_pack
from learntoask.grading.encoders.hashing import HashingEncoder
from learntoask.induction.from_logs import suggest_from_logs
from learntoask.induction.model_names import FieldName, fault_of
from learntoask.induction.output.files import PACK, PAGE, RUN, check_free, write_files
from learntoask.induction.output.pack_data import pack_data
from learntoask.induction.output.pack_yaml import pack_yaml, scalar
from learntoask.induction.output.page import suggestion_page
from learntoask.induction.output.run_yaml import run_name
from learntoask.induction.suggestion import Suggestion
from worlds.induction import sessions, write


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Suggestion:
    logs = write(tmp_path_factory.mktemp("logs") / "chats.jsonl", sessions(60))
    return suggest_from_logs(logs, encoder=HashingEncoder())


def test_the_written_pack_is_its_data(found: Suggestion) -> None:
    data = pack_data(found, name="x")
    pack = parse_pack(pack_yaml(found, name="x"), where="pack")
    written = pack.model_dump(mode="json", by_alias=True)
    assert {key: written[key] for key in ("endMarkers", "requireEndMarker")} == {
        key: data[key] for key in ("endMarkers", "requireEndMarker")
    }
    for field, plain in zip(written["tasks"][0]["fields"], data["tasks"][0]["fields"], strict=True):
        assert {key: field[key] for key in plain} == plain


def test_a_field_is_written_with_its_evidence(found: Suggestion) -> None:
    text = pack_yaml(found, name="x")
    assert text.count("asked in 60 sessions; the patterns match 60 of 60 questions") == len(found.fields)


@pytest.mark.parametrize(
    "text", ["plain", "yes", "it's: #1", "# no", "- x", "{a}", "two\nlines", "\x85 é 何", "", "5"]
)
def test_any_text_is_read_back_as_it_was_written_on_one_line(text: str) -> None:
    assert yaml.safe_load(f"key: {scalar(text)}")["key"] == " ".join(text.split()) if text.strip() else True


def test_hostile_names_and_texts_stay_text(found: Suggestion) -> None:
    field = dataclasses.replace(
        found.fields[0],
        name="a: b # c",
        description="<script>alert(1)</script> '\"",
        questions=("<img src=x>?",),
    )
    task = found.tasks[0]
    uses = (dataclasses.replace(task.fields[0], field=field), *task.fields[1:])
    hostile = dataclasses.replace(
        found,
        logs="logs\n- x.jsonl",
        fields=(field, *found.fields[1:]),
        tasks=(dataclasses.replace(task, fields=uses),),
    )
    assert parse_pack(pack_yaml(hostile, name="x"), where="pack").tasks[0].fields[0].name == "a: b # c"
    page = suggestion_page(hostile, name="x")
    assert "<script" not in page
    assert "<img" not in page


def test_the_page_is_one_file_without_scripts_or_foreign_origins(found: Suggestion) -> None:
    page = suggestion_page(found, name="chats")
    assert "default-src 'none'" in page
    assert not re.search(r"<script|https?://|src=|@import|url\(", page)
    assert page.count('<article class="card field"') == len(found.fields)


def test_the_page_marks_what_a_pattern_finds(found: Suggestion) -> None:
    assert "<mark>" in suggestion_page(found, name="chats")


def test_the_three_files_make_a_run(found: Suggestion, tmp_path: Path) -> None:
    logs = write(tmp_path / "My chats (1).jsonl", sessions(4))
    write_files(found, logs, tmp_path / "out")
    spec = load_manifest(tmp_path / "out" / RUN).spec
    assert (spec.dataset.uri, spec.pack.uri, spec.label.method) == ("../My chats (1).jsonl", PACK, "lexicon")
    assert spec.gate.thresholds
    assert load_pack(tmp_path / "out" / PACK).name == "my-chats-1" == run_name(logs)
    assert (tmp_path / "out" / PAGE).stat().st_size > 1000


def test_existing_files_are_never_written_over_unless_asked(tmp_path: Path) -> None:
    (tmp_path / PACK).write_text("mine")
    with pytest.raises(InputError, match=r"already holds pack\.yaml; --force .*lta pack suggest"):
        check_free(tmp_path, force=False)
    check_free(tmp_path, force=True)


@pytest.mark.parametrize(
    ("name", "description", "cites", "fault"),
    [
        ("kind_of_bike", "what bike it is", 5, ""),
        ("", "what bike it is", 5, "not a name"),
        ("a b\n- name: x", "what", 5, "not a name"),
        ("taken", "what", 5, "another field is called"),
        ("bike", "", 5, "description"),
        ("bike", "what", 2, "cites 2 questions instead of 5"),
        ("bike", "what", 0, "cites 0 questions"),
    ],
)
def test_a_name_of_a_model_counts_only_if_it_can_be_checked(
    found: Suggestion, name: str, description: str, cites: int, fault: str
) -> None:
    field = found.fields[0]
    cited = list(field.evidence.question_ids[:cites])
    said = fault_of(FieldName(name=name, description=description, question_ids=cited), field, {"taken"})
    assert fault in said
    assert bool(said) == bool(fault)


def test_a_model_that_cites_what_it_was_not_shown_is_not_believed(found: Suggestion) -> None:
    reply = FieldName(
        name="bike", description="what", question_ids=["999:1", *found.fields[0].evidence.question_ids]
    )
    assert "not shown: 999:1" in fault_of(reply, found.fields[0], set())
