"""`lta init`, `lta run --until`, `lta data labels` and `lta pack suggest`, as a user types them on raw logs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from learntoask.cli.app import main
from learntoask.core.pack import load_pack
from learntoask.runner.run_folder import RunFolder
from worlds.bad_logs import Lines, bad_logs, init_says, other_formats
from worlds.induction import ASKED, sessions, write
from worlds.llm.server import LlmServer, Reply
from worlds.pharmacy import generated_logs
from worlds.review import JSON, fields

LINES = [*sessions(60), {"session_id": "bad", "messages": []}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "chats.jsonl", LINES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LTA_HOME", raising=False)
    monkeypatch.delenv("LTA_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def lta(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["lta", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_raw_logs_become_labels_without_any_yaml_by_hand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lta(monkeypatch, "init", "chats.jsonl") == 0
    said = capsys.readouterr().out
    assert "4 fields cover 240 of 240 questions" in said
    assert "60 sessions (60 completed, 0 abandoned, 0 handoff)" in said
    assert "lta run learntoask/run.yaml" in said
    first = {path.name: path.read_bytes() for path in (folder / "learntoask").iterdir()}
    assert set(first) == {"pack.yaml", "run.yaml", "suggest.html"}

    assert lta(monkeypatch, "init", "chats.jsonl") == 2
    assert "already holds pack.yaml, run.yaml, suggest.html" in capsys.readouterr().err
    assert lta(monkeypatch, "init", "chats.jsonl", "--force") == 0
    assert {path.name: path.read_bytes() for path in (folder / "learntoask").iterdir()} == first

    capsys.readouterr()
    assert lta(monkeypatch, "run", "learntoask/run.yaml", "--until", "label") == 0
    assert re.search(r"Stages to compute: prepare [\d.]+, label [\d.]+\.", capsys.readouterr().out)
    run = RunFolder(folder / ".lta", "chats").read()
    assert run is not None
    assert {name: stage.state for name, stage in run.stages.items()} == {
        "prepare": "published",
        "label": "published",
    }

    capsys.readouterr()
    assert lta(monkeypatch, "data", "labels", "chats", "--sessions", "1") == 0
    shown = capsys.readouterr().out
    assert shown.count("▸ still to ask:") == 4
    assert shown.count("■ stop") == 1


def test_a_pack_that_misses_questions_gets_them_by_apply(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = folder / "pack.yaml"
    pack.write_text(
        "# mine\nname: shop\nendMarkers: ['<booked>']\ntasks:\n  - name: default\n    fields:\n"
        "      - name: kind\n        patterns: ['what kind of bike']\n"
    )
    assert lta(monkeypatch, "pack", "suggest", "chats.jsonl", "--pack", "pack.yaml") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("--- pack.yaml\n+++ pack.yaml (suggested)\n")
    assert "3 new fields" in shown.err
    assert pack.read_text().count("name:") == 3
    assert lta(monkeypatch, "pack", "suggest", "chats.jsonl", "--pack", "pack.yaml", "--apply") == 0
    assert pack.read_text().startswith("# mine\n")
    assert len(load_pack(pack).tasks[0].fields) == len(ASKED)
    capsys.readouterr()
    assert lta(monkeypatch, "data", "check", "chats.jsonl", "--pack", "pack.yaml", "--json") == 2
    assert json.loads(capsys.readouterr().out)["unnamed_questions"] == 0


def test_a_model_names_the_fields_and_nonsense_is_not_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(asked: object) -> Reply:
        text = str(asked.question)  # type: ignore[attr-defined]
        ids = [line.split(": ")[0] for line in text.splitlines() if line[:1].isdigit()]
        sensible = "bike" in text
        named = {
            "name": "kind_of_bike" if sensible else "a b; c",
            "description": "which bike",
            "question_ids": ids,
        }
        return Reply(json.dumps(named))

    with LlmServer(answer) as server:
        code = lta(monkeypatch, "init", "chats.jsonl", "--llm", server.uri, "--model", "m")
    assert code == 0
    said = capsys.readouterr().out
    assert said.count("keeps its name: 'a b; c' is not a name") == 3
    fields = load_pack(folder / "learntoask" / "pack.yaml").tasks[0].fields
    assert sum(field.name == "kind_of_bike" for field in fields) == 1
    assert "named by m from questions" in (folder / "learntoask" / "pack.yaml").read_text()


def answered(link: str) -> int:
    """Answer everything that the page asks, until it ends, and return the number of answers.

    The phone number is nothing to find out, no question asks what another one does, and else the first choice is right.
    """
    total = 0
    with httpx2.Client(base_url=link.partition("/enter")[0], follow_redirects=True) as client:
        try:
            client.get(link)
            while True:
                page = client.get("/").text.partition('<template id="ahead">')[0]
                keys = re.findall(r'name="answer" value="([^"]*)"', page)
                if not keys:  # the next round is not there yet
                    time.sleep(0.05)
                    continue
                marked = page.partition("</ol>")[0].rpartition("marked")[2]
                if "phone number" in marked and "nothing" in keys:
                    said = {"answer": "nothing"}
                else:
                    said = {"say": "none"} if 'type="checkbox" name="answer"' in page else {"answer": keys[0]}
                response = client.post("/answer", data={**fields(page), **said}, headers=JSON)
                assert response.is_success, response.text
                total += 1
        except httpx2.TransportError:
            return total


def test_answers_of_a_person_change_the_pack_and_count_the_next_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "learntoask.cli.app", "init", "chats.jsonl", "--review"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        link = next(line.strip() for line in started.stdout if "/enter?link=" in line)
        try:
            total = answered(link)
            rest = started.stdout.read()
        finally:
            started.kill()
    assert started.returncode == 0
    assert f"{total} of {total} answers are there" in rest
    assert 0 < total <= 30
    pack = (folder / "learntoask" / "pack.yaml").read_bytes()
    assert len(load_pack(folder / "learntoask" / "pack.yaml").tasks[0].fields) < len(ASKED)
    assert lta(monkeypatch, "init", "chats.jsonl", "--force") == 0
    counted = re.search(r"(\d+) answers of people in learntoask/review", capsys.readouterr().out)
    assert counted is not None
    assert 0 < int(counted[1]) <= total  # two cards may be about one question
    assert (folder / "learntoask" / "pack.yaml").read_bytes() == pack


@pytest.mark.parametrize(
    ("what", "lines", "wanted"), [pytest.param(*case, id=case[0].replace(" ", "-")) for case in bad_logs()]
)
def test_bad_logs_get_a_clear_message(tmp_path: Path, what: str, lines: Lines, wanted: str) -> None:
    said = init_says(write(tmp_path / "logs.jsonl", lines), tmp_path / "out")
    assert wanted in said, what


@pytest.mark.parametrize(("name", "content", "wanted"), list(other_formats()))
def test_files_of_other_formats_get_a_clear_message(
    tmp_path: Path, name: str, content: bytes, wanted: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert wanted in init_says(tmp_path / name, tmp_path / "out")


def test_logs_without_an_end_are_not_sent_to_training(tmp_path: Path) -> None:
    lines = sessions(30)
    for line in lines:
        del line["messages"][-1]
    out = tmp_path / "out"
    said = init_says(write(tmp_path / "logs.jsonl", lines), out)
    assert "No session has an end, so a run would fail" in said
    assert f"--out {out} --review --force" in said
    assert f"lta run {out}" not in said


@pytest.mark.parametrize("language", ["ja", "ar"])
def test_logs_in_another_script_become_a_pack_too(tmp_path: Path, language: str) -> None:
    logs = generated_logs(tmp_path, seed=5, sessions=60, language=language)
    said = init_says(logs, tmp_path / "out")
    assert f"sessions in {language} (100%)" in said
    assert "compared by their letters" in said
    assert "sessions are few" in said
    assert f"lta run {tmp_path / 'out' / 'run.yaml'}" in said
    pack = load_pack(tmp_path / "out" / "pack.yaml")
    assert pack.language == language
    assert len(pack.tasks[0].fields) >= 5
    assert pack.end_markers == ("<med_search>",)
