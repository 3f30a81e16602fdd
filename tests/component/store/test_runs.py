"""Runs whose logs, pack and store are in MinIO: stages publish there, and no file ever contains an access key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from learntoask.cli.app import main
from learntoask.core.errors import InputError
from learntoask.core.stages.graph import STAGE_BY_NAME
from learntoask.core.stages.publication import PinnedPublication, Publication
from learntoask.local.view import RunView, view
from learntoask.runner.inputs import path_digest, read_sources
from learntoask.runner.request import StageRequest
from learntoask.store.factory import open_store
from learntoask.store.folder import FolderStore
from learntoask.store.s3.bucket import Bucket
from learntoask.store.unfinished import Checkpoints, unfinished_address
from worlds.minio import MinioServer, minio_server

PACK = """
name: clinic
tasks:
  - name: default
    goal: Find out what is needed.
    fields:
      - {name: age, patterns: ['how old'], answerPatterns: ['\\d+']}
      - {name: fever, patterns: ['fever']}
"""
RUN = """
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {name: NAME}
spec:
  dataset: {uri: "s3://lta/logs/clinic.jsonl", testShare: 0.4}
  pack: {uri: "s3://lta/pack.yaml"}
  store: {uri: "STORE", endpoint: "ENDPOINT", credentials: {file: keys}}
  label: {requireStops: false}
  train: {base: {uri: "tiny:"}}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with minio_server(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def server(running: MinioServer, tmp_path: Path) -> MinioServer:
    running.reset(tmp_path.name)
    return running


@pytest.fixture
def folder(server: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of `lta`, with the manifests of two runs and the access keys in files."""
    folder = tmp_path / "work"
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "accessKey").write_text(server.access_key)
    (folder / "keys" / "secretKey").write_text(server.secret_key)
    for name in ("clinic", "other"):
        text = RUN.replace("ENDPOINT", server.endpoint).replace("STORE", server.address().uri)
        text = text.replace("NAME", name)
        (folder / f"{name}.yaml").write_text(text)
    bucket = server.bucket()
    bucket.write("logs/clinic.jsonl", _logs(20))
    bucket.write("pack.yaml", PACK.encode())
    monkeypatch.chdir(folder)
    for name in ("LTA_HOME", "LTA_STORE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    return folder


def _logs(count: int) -> bytes:
    complaints = ("a sore throat", "a rash on my arm", "burning eyes", "no sleep at all", "pain in one knee")
    sessions = [
        {
            "session_id": str(number),
            "messages": [
                {
                    "role": "user",
                    "content": f"case {number * 7919}: {complaints[number % 5]} since day {number}",
                },
                {"role": "assistant", "content": "How old are you?"},
                {"role": "user", "content": str(20 + number)},
                {"role": "assistant", "content": "Rest. <stop>"},
            ],
        }
        for number in range(count)
    ]
    return "".join(json.dumps(session) + "\n" for session in sessions).encode()


def _run(
    folder: Path, stage: str, *, run: str = "clinic", pins: dict[str, PinnedPublication] | None = None
) -> dict[str, Any]:
    """Run a stage in a process and return its last message."""
    home = folder / ".lta"
    shown = view(f"{run}.yaml", home=home)
    digests = shown.sources.digests()
    found = shown.publications
    inputs = {
        name: PinnedPublication(key=found[name].key, output=found[name].output)
        for name in STAGE_BY_NAME[stage].inputs
    }
    request = StageRequest(
        home=home,
        run=run,
        store=shown.sources.store,
        stage=stage,
        key=next(status.key for status in shown.plan.stages if status.name == stage and status.key),
        spec=shown.sources.spec,
        pack=shown.sources.pack,
        inputs={**inputs, **(pins or {})},
        files={
            role: (path, digests[role])
            for role, path in shown.sources.files.items()
            if role in STAGE_BY_NAME[stage].files
        },
    )
    (folder / "request.json").write_text(request.model_dump_json(by_alias=True))
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "learntoask.cli.stage", "request.json", str(writer)]
    with (folder / "stage.log").open("ab") as log:
        subprocess.run(
            command, cwd=folder, stdout=log, stderr=log, pass_fds=(writer,), timeout=120, check=False
        )
    os.close(writer)
    with os.fdopen(reader) as said:
        lines: list[dict[str, Any]] = [json.loads(line) for line in said]
    return lines[-1]


def _everything_written(folder: Path, server: MinioServer) -> Iterator[tuple[str, bytes]]:
    """Iterate over all files of the working directory except the keys, and over all objects."""
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name != "keys":
            yield str(path), path.read_bytes()
    bucket = server.bucket()
    for entry in bucket.entries(""):
        yield entry.key, (bucket.read(entry.key) or (b"",))[0]


def test_stages_read_from_the_store_and_publish_to_it(folder: Path, server: MinioServer) -> None:
    prepared = _run(folder, "prepare")
    assert "result" in prepared, prepared
    labelled = _run(folder, "label")
    assert "result" in labelled, labelled
    shown = view("clinic.yaml", home=folder / ".lta")
    assert shown.publications["label"].inputs == {"prepare": prepared["result"]["output"]}
    assert (shown.output("label") / "labelled.jsonl").stat().st_size > 0
    # Another run of the same logs finds both stages published; a process that runs one nevertheless ends at once.
    assert set(view("other.yaml", home=folder / ".lta").publications) == {"prepare", "label"}
    assert _run(folder, "prepare", run="other") == prepared
    for name, content in _everything_written(folder, server):
        assert server.secret_key.encode() not in content, name
        assert server.access_key.encode() not in content, name


def test_an_input_that_was_replaced_is_not_read(folder: Path) -> None:
    assert "result" in _run(folder, "prepare")
    prepared = view("clinic.yaml", home=folder / ".lta").publications["prepare"]
    said = _run(folder, "label", pins={"prepare": PinnedPublication(key=prepared.key, output="0" * 64)})
    assert said["failure"]["reason"] == "InputReplaced"


def test_a_stage_with_wrong_keys_says_so_without_saying_them(folder: Path, server: MinioServer) -> None:
    shown = view("clinic.yaml", home=folder / ".lta")
    wrong = "wrong-secret-key-of-a-user"
    (folder / "keys" / "secretKey").write_text(wrong)
    request = StageRequest(
        home=folder / ".lta",
        run="clinic",
        store=shown.sources.store,
        stage="prepare",
        key="d" * 64,
        spec=shown.sources.spec,
        pack=shown.sources.pack,
        inputs={},
        files={},
    )
    (folder / "request.json").write_text(request.model_dump_json(by_alias=True))
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "learntoask.cli.stage", "request.json", str(writer)]
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, pass_fds=(writer,), timeout=120, check=False
    )
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = json.loads(pipe.read().splitlines()[-1])
    assert said["failure"]["reason"] == "CredentialsRefused"
    assert ended.returncode == 5
    assert str(folder / "keys") in said["failure"]["message"]
    for content in (ended.stdout, ended.stderr, json.dumps(said).encode()):
        assert wrong.encode() not in content
        assert server.secret_key.encode() not in content


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the objects whose content is read during the test."""
    keys: list[str] = []
    read = Bucket.read

    def counted(self: Bucket, key: str, **options: Any) -> tuple[bytes, str] | None:
        keys.append(key)
        return read(self, key, **options)

    monkeypatch.setattr(Bucket, "read", counted)
    return keys


def test_logs_and_pack_are_fetched_once_and_anew_when_they_change(
    folder: Path, server: MinioServer, reads: list[str]
) -> None:
    home = folder / ".lta"
    first = read_sources(folder / "clinic.yaml", home=home)
    assert first.pack.name == "clinic"
    assert first.files["dataset"].read_bytes() == _logs(20)
    assert first.digests() == {"dataset": path_digest(first.files["dataset"])}
    assert sorted(reads) == ["logs/clinic.jsonl", "pack.yaml"]
    reads.clear()
    assert read_sources(folder / "clinic.yaml", home=home) == first
    assert reads == []
    server.bucket().write("logs/clinic.jsonl", _logs(21))
    changed = read_sources(folder / "clinic.yaml", home=home)
    assert changed.files["dataset"].read_bytes() == _logs(21)
    assert first.files["dataset"].read_bytes() == _logs(20)  # files of a running stage never change
    damaged = changed.files["dataset"]
    damaged.chmod(0o644)
    damaged.write_bytes(_logs(21).replace(b"rash", b"rush"))
    assert read_sources(folder / "clinic.yaml", home=home).files["dataset"].read_bytes() == _logs(21)


def test_a_base_model_may_be_a_folder_of_objects(folder: Path, server: MinioServer) -> None:
    bucket = server.bucket()
    bucket.write("models/tiny/", b"")  # some tools create such an object for a folder
    bucket.write("models/tiny/config.json", b"{}")
    bucket.write("models/tiny/model/weights", b"w" * 100)
    text = (folder / "clinic.yaml").read_text().replace("tiny:", "s3://lta/models/tiny/")
    (folder / "based.yaml").write_text(text)
    sources = read_sources(folder / "based.yaml", home=folder / ".lta")
    base = sources.files["base"]
    assert {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()} == {
        "config.json",
        "model/weights",
    }
    assert sources.digests()["base"] == path_digest(base)  # the digest of the same folder on this machine


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("logs/clinic.jsonl", "logs/other.jsonl", "spec.dataset.uri"),
        ("pack.yaml", "absent.yaml", "spec.pack.uri"),
        ("tiny:", "s3://lta/models/absent", "spec.train.base.uri"),
    ],
)
def test_an_address_with_nothing_there_is_named(folder: Path, old: str, new: str, field: str) -> None:
    text = (
        (folder / "clinic.yaml").read_text().replace(f"s3://lta/{old}", f"s3://lta/{new}").replace(old, new)
    )
    (folder / "wrong.yaml").write_text(text)
    with pytest.raises(InputError, match=f"{field}: there is nothing at"):
        read_sources(folder / "wrong.yaml", home=folder / ".lta")


Gc = Callable[..., dict[str, Any]]


@pytest.fixture
def gc(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gc:
    def run(*arguments: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["lta", "gc", *arguments, "--json"])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code in (0, None), printed.err
        return dict(json.loads(printed.out))

    return run


def _shown(folder: Path, run: str) -> RunView:
    return view(f"{run}.yaml", home=folder / ".lta")


def test_gc_frees_what_no_run_needs(folder: Path, server: MinioServer, gc: Gc) -> None:
    assert "result" in _run(folder, "prepare")
    (folder / "other.yaml").write_text((folder / "other.yaml").read_text().replace("0.4", "0.3"))
    assert "result" in _run(folder, "prepare", run="other")
    (folder / "lost").write_text("of a publisher who was killed")
    lost = server.store().put(folder / "lost", path="lost")
    time.sleep(1.5)  # items of the last second are never removed

    found = gc("clinic.yaml")
    assert (found["store"], found["removed"]["blobs"], found["left"]["publications"]) == (
        server.address().uri,
        0,
        2,
    )
    found = gc("clinic.yaml", "--older-than", "0s", "--dry-run")
    assert [item["name"] for item in found["objects"] if item["kind"] == "blob"] == [lost.digest]
    assert gc("clinic.yaml", "--older-than", "0s")["removed"]["blobs"] == 1
    assert set(_shown(folder, "other").publications) == {"prepare"}

    found = gc("--keep", "clinic.yaml", "--older-than", "0s")
    assert found["removed"]["publications"] == 1
    assert set(_shown(folder, "clinic").publications) == {"prepare"}
    assert set(_shown(folder, "other").publications) == set()
    assert _shown(folder, "clinic").output("prepare").is_dir()


def test_gc_refuses_what_would_hurt_a_run_at_work(
    folder: Path, server: MinioServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _shown(folder, "clinic")
    shown.folder.write(shown.state)
    for arguments, message in (
        (("clinic.yaml", "--older-than", "30m"), "is running and may be about to publish"),
        (("--keep", "other.yaml"), "would lose its stages"),
        (("clinic.yaml", "--older-than", "a day"), "--older-than: 'a day' is not a duration"),
        (("clinic.yaml", "--store", "s3://lta/other"), "not both"),
        (("--store", "elsewhere", "--keep", "clinic.yaml"), f"publishes to {server.address().uri}, not here"),
    ):
        monkeypatch.setattr(sys, "argv", ["lta", "gc", *arguments])
        with shown.folder.locked(), pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert message in " ".join(capsys.readouterr().err.split()), arguments


def test_gc_of_a_folder_store(
    folder: Path, gc: Gc, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(folder / ".lta" / "store")
    (folder / "lost").write_text("lost")
    store.put(folder / "lost", path="lost")
    store.publish(Publication(stage="sft", key="e" * 64, files=()))
    (store.root / "blobs" / "ab").mkdir()
    (store.root / "blobs" / "ab" / "abc.0123.partial").write_text("torn")
    found = gc("--older-than", "0s")
    assert found["removed"] == {"blobs": 1, "publications": 0, "leftovers": 1, "bytes": 8}
    assert found["left"]["publications"] == 1
    monkeypatch.setattr(sys, "argv", ["lta", "gc"])
    with pytest.raises(SystemExit):
        main()
    assert "published stages" in capsys.readouterr().out


def test_gc_knows_unfinished_work(folder: Path, server: MinioServer, gc: Gc) -> None:
    assert "result" in _run(folder, "prepare")
    key = _shown(folder, "clinic").publications["prepare"].key
    kept = open_store(unfinished_address(server.address()), server.environment)
    for of in (key, "e" * 64):  # of a published stage, and of a stage that a suspended run continues
        (folder / "weights").write_text(of)
        Checkpoints(kept, stage="sft", key=of, of=of).save({"sft.pt": folder / "weights"})
    time.sleep(1.5)  # items of the last second are never removed
    found = gc("clinic.yaml", "--older-than", "0s")
    assert found["removed"]["blobs"] == 0
    assert found["unfinished"]["removed"]["publications"] == 1
    left = found["unfinished"]["left"]
    assert (left["blobs"], left["publications"], left["leftovers"]) == (1, 1, 0)
    found = gc("clinic.yaml", "--older-than", "0s", "--unfinished-older-than", "1s")
    assert found["unfinished"]["left"]["publications"] == 0
    assert list(kept.items()) == []
    assert set(_shown(folder, "clinic").publications) == {"prepare"}
