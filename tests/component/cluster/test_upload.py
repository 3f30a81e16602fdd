"""`lta data push` and what `lta apply` uploads: to a real MinIO, once, and found there again by the pods' own code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from learntoask.cli.app import main
from learntoask.core.manifest import parse_manifest
from learntoask.runner.inputs import external_files, fetch_input, path_digest
from learntoask.store.s3.transfer import PART_BYTES
from worlds.minio import MinioServer, minio_server

MANIFEST = """
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {name: clinic}
spec:
  dataset: {uri: logs.jsonl}
  pack: {uri: pack.yaml}
  train: {base: {uri: base}}
"""
Lta = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with minio_server(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def server(running: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MinioServer:
    running.reset(tmp_path.name)
    for name, value in {**running.environment, "LTA_STORE_ENDPOINT": running.endpoint}.items():
        monkeypatch.setenv(name, value)
    return running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "base" / "deep").mkdir(parents=True)
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "base" / "deep" / "weights").write_bytes(os.urandom(PART_BYTES + 1))
    (tmp_path / "logs.jsonl").write_text('{"session_id": "1"}\n')
    (tmp_path / "pack.yaml").write_text("name: clinic\n")
    (tmp_path / "run.yaml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lta(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lta:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lta", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, " ".join(printed.err.split())

    return run


def test_files_are_sent_once_under_their_digest(server: MinioServer, folder: Path, lta: Lta) -> None:
    store = server.address().uri
    code, out, err = lta("data", "push", "logs.jsonl", "pack.yaml", "--store", store)
    digest = path_digest(folder / "logs.jsonl")
    assert code == 0, err
    assert out.splitlines()[0] == f"{store}/inputs/{digest}/logs.jsonl"
    assert "logs.jsonl uploaded" in err
    code, again, err = lta("data", "push", "logs.jsonl", "--store", store)
    assert (code, again) == (0, out.splitlines()[0] + "\n")
    assert "logs.jsonl is there already" in err
    (folder / "logs.jsonl").write_text("another\n")
    code, changed, _ = lta("data", "push", "logs.jsonl", "--store", store)
    assert changed != again


def test_what_is_applied_is_what_lies_here(server: MinioServer, folder: Path, lta: Lta) -> None:
    code, out, err = lta("apply", "run.yaml", "--dry-run", "--store", server.address().uri)
    assert code == 0, err
    spec = parse_manifest(out, where="printed").spec
    assert yaml.safe_load(out)["spec"].keys() == yaml.safe_load(MANIFEST)["spec"].keys()
    for role, path in (("dataset", "logs.jsonl"), ("base", "base")):
        uri, field = external_files(spec)[role]
        found = fetch_input(uri, field=field, folder=folder, store=server.address(), home=folder / "home")
        assert found.digest == path_digest(folder / path)
        assert path_digest(found.path) == found.digest
    assert spec.pack.uri.startswith(f"{server.address().uri}/inputs/")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("apply", "run.yaml", "--dry-run"), "can be uploaded to an s3:// store only"),
        (
            ("data", "push", "absent.jsonl", "--store", "s3://lta/team"),
            "absent.jsonl does not exist or is empty",
        ),
    ],
)
def test_what_cannot_be_uploaded_is_said(
    server: MinioServer, folder: Path, lta: Lta, arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = lta(*arguments)
    assert code == 2
    assert message in err


def test_a_path_that_is_not_there_is_named(server: MinioServer, folder: Path, lta: Lta) -> None:
    (folder / "logs.jsonl").unlink()
    code, _, err = lta("apply", "run.yaml", "--dry-run", "--store", server.address().uri)
    assert code == 2
    assert "spec.dataset.uri: " in err
