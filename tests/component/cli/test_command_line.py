"""What a user types wrong is answered with a sentence and an exit code, never with a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from learntoask.cli.app import main

PACK = """
name: clinic
tasks:
  - name: default
    goal: Find out what is needed.
    fields:
      - {name: age, patterns: ['how old']}
      - {name: fever, patterns: ['fever']}
"""
RUN = """
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {name: clinic}
spec:
  dataset: {uri: logs.jsonl}
  pack: {uri: pack.yaml}
  train: {base: {uri: "tiny:"}}
"""
SESSION = {
    "session_id": "1",
    "messages": [
        {"role": "user", "content": "I feel ill"},
        {"role": "assistant", "content": "How old are you?"},
        {"role": "user", "content": "40"},
        {"role": "assistant", "content": "Rest. <stop>"},
    ],
}


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


Lta = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pack.yaml").write_text(PACK)
    (tmp_path / "run.yaml").write_text(RUN)
    (tmp_path / "logs.jsonl").write_text(json.dumps(SESSION) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LTA_HOME", raising=False)
    monkeypatch.delenv("LTA_STORE", raising=False)
    return tmp_path


@pytest.fixture
def lta(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lta:
    """The command as a user types it, in this process: only its exit code and what it prints count."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["lta", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def refused(lta: Lta) -> Callable[..., str]:
    """Standard error, in one line, of a command that must end with exit code 2."""

    def run(*arguments: str) -> str:
        ended = lta(*arguments)
        assert ended.returncode == 2, ended.stderr
        return " ".join(ended.stderr.split())

    return run


def test_a_manifest_typo_is_named_with_its_nearest_field(
    folder: Path, lta: Lta, refused: Callable[..., str]
) -> None:
    (folder / "run.yaml").write_text(RUN.replace("dataset:", "datasett:"))
    said = refused("run", "run.yaml")
    assert "spec.datasett" in said
    assert "did you mean 'dataset'" in said


def test_missing_files_are_named_with_their_field(
    folder: Path, lta: Lta, refused: Callable[..., str]
) -> None:
    assert "nowhere.yaml" in refused("run", "nowhere.yaml")
    (folder / "logs.jsonl").unlink()
    assert "spec.dataset.uri" in refused("run", "run.yaml")
    (folder / "pack.yaml").unlink()
    assert "spec.pack.uri" in refused("run", "run.yaml")


def test_addresses_of_other_machines_are_refused_on_a_laptop(
    folder: Path, lta: Lta, refused: Callable[..., str]
) -> None:
    (folder / "run.yaml").write_text(RUN.replace("logs.jsonl", "https://host/logs.jsonl"))
    assert "https: is not possible here" in refused("run", "run.yaml")


def test_an_unknown_stage_or_run_lists_the_known_ones(
    folder: Path, lta: Lta, refused: Callable[..., str]
) -> None:
    assert "prepare, label" in refused("run", "run.yaml", "--from", "trian")
    assert "there is no run 'other'" in refused("status", "other")


def test_a_folder_that_is_no_model_is_refused(folder: Path, lta: Lta, refused: Callable[..., str]) -> None:
    assert "no model folder" in refused("evaluate", "run.yaml", "--model", ".", "--out", "out")


def test_data_check_names_line_and_field_and_writes_nothing(
    folder: Path, lta: Lta, refused: Callable[..., str]
) -> None:
    with (folder / "logs.jsonl").open("a") as logs:
        logs.write('{"session_id": "2", "messages": [{"role": "robot", "content": "x"}]}\n{"broken\n')
    before = sorted(folder.iterdir())
    ended = lta("data", "check", "logs.jsonl", "--pack", "pack.yaml", "--json")
    found = json.loads(ended.stdout)
    assert ended.returncode == 2
    assert [problem["line"] for problem in found["problems"]] == [2, 3]
    assert "messages[0].role" in found["problems"][0]["message"]
    assert found["sessions"] == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "command", [("data", "check", "logs.jsonl", "--pack", "pack.yaml"), ("run", "run.yaml")]
)
def test_a_faulty_prompt_of_the_pack_is_told_before_anything_is_computed(
    folder: Path, refused: Callable[..., str], command: tuple[str, ...]
) -> None:
    (folder / "pack.yaml").write_text(PACK + "prompts: {judge: '{{ field }}'}\n")
    assert "pack 'clinic', prompts.judge: 'field' is undefined" in refused(*command)


def test_data_check_takes_labeller_and_limits_of_a_manifest(folder: Path, lta: Lta) -> None:
    ended = lta("data", "check", "logs.jsonl", "--pack", "pack.yaml", "--method", "annotated", "--json")
    assert json.loads(ended.stdout)["labellers"] == {"annotated": 1}
    (folder / "run.yaml").write_text(RUN.replace('{uri: "tiny:"}', '{uri: "tiny:"}, maxNewTokens: 2'))
    ended = lta("data", "check", "logs.jsonl", "--pack", "pack.yaml", "--manifest", "run.yaml")
    said = " ".join(ended.stdout.split())
    assert "labelled by lexicon, as asked for" in said
    assert "longer than about 2 tokens (train.maxNewTokens)" in said


def test_status_of_a_run_that_never_started_is_pending(
    folder: Path, lta: Lta, refused: Callable[..., str]
) -> None:
    ended = lta("status", "run.yaml", "--json")
    found = json.loads(ended.stdout)
    assert found["outcome"] == "Stopped"
    assert {stage["state"] for stage in found["stages"]} == {"Pending"}


def test_the_schema_is_json(folder: Path, lta: Lta, refused: Callable[..., str]) -> None:
    assert "LearnToAskRun" in json.loads(lta("schema").stdout)["title"]
    assert json.loads(lta("schema", "pack").stdout)["title"] == "Pack"
