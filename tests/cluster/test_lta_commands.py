"""`lta` on a real API server: what it requests of a run, what it shows, and how it reports a refusal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from learntoask.cli.app import main
from learntoask.core.json_object import Json
from learntoask.core.stages.gc_candidates import COLLECTABLE, RUN_UID
from learntoask.core.stages.publication import Publication
from learntoask.store.folder import FolderStore
from worlds.cluster.applied_manifests import RUN, collection, manifest, stored
from worlds.cluster.cluster import Cluster

Lta = Callable[..., tuple[int, str]]
Read = Callable[..., Json]


@pytest.fixture
def read(cluster: Cluster, namespace: str) -> Read:
    """A function that reads a stored run; the run `one` exists."""
    stored(cluster, manifest("LearnToAskRun", RUN, name="one", namespace=namespace))
    return lambda name="one": cluster.request("GET", f"{collection('LearnToAskRun', namespace)}/{name}").body


@pytest.fixture
def lta(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Lta:
    """Run `lta`, and return its exit code and its output."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lta", *arguments, "-n", namespace])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((printed.out + printed.err).split())

    return run


def test_a_run_is_suspended_and_goes_on(read: Read, lta: Lta) -> None:
    assert lta("suspend", "one")[0] == 0
    assert read()["spec"]["suspend"] is True
    assert lta("resume", "one")[0] == 0
    assert read()["spec"]["suspend"] is False


def test_a_run_is_rewound_by_annotation(read: Read, lta: Lta) -> None:
    assert lta("rerun", "one", "--from", "train")[0] == 0
    annotations = read()["metadata"]["annotations"]
    assert annotations["learntoask.io/rerun"].startswith("sft=")
    assert lta("retry", "one")[0] == 0
    assert read()["metadata"]["annotations"]["learntoask.io/retry"]
    code, said = lta("rerun", "one", "--from", "dream")
    assert code == 2
    assert "there is no stage 'dream'" in said


def test_what_is_not_there_is_said(read: Read, lta: Lta) -> None:
    for command in (("suspend",), ("logs",), ("status", "--cluster")):
        code, said = lta(*command, "other")
        assert code == 6, said
        assert '"other" not found' in said
    code, said = lta("logs", "one")
    assert code == 2
    assert "has no pods" in said


def test_a_status_is_shown_and_listed(read: Read, lta: Lta, cluster: Cluster, namespace: str) -> None:
    status = {
        "phase": "Failed",
        "message": "stage sft: out of memory",
        "stages": [
            {"name": "prepare", "state": "Published", "output": "d" * 64, "attempt": 1},
            {"name": "sft", "state": "Failed", "attempt": 3, "reason": "Crashed", "message": "out of memory"},
            {
                "name": "evaluate",
                "state": "Published",
                "summary": {"published": "The SFT policy was published."},
            },
        ],
    }
    path = f"{collection('LearnToAskRun', namespace)}/one/status"
    answer = cluster.request("PATCH", path, {"status": status}, content_type="application/merge-patch+json")
    assert answer.status == 200, answer.message
    for arguments in (("one",), ()):
        code, said = lta("status", "--cluster", *arguments)
        assert code == 0
        for part in (
            f"{namespace}/one: Failed",
            "dddddddddddd",
            "Failed (attempt 3)",
            "stage sft: out of memory",
            "The SFT policy was published.",
        ):
            assert part in said
    code, said = lta("status", "--cluster", "one", "--json")
    assert json.loads(said)["stages"][1]["reason"] == "Crashed"


def test_a_manifest_is_applied_and_a_refusal_names_the_field(read: Read, lta: Lta, tmp_path: Path) -> None:
    body = manifest("LearnToAskRun", RUN, name="two")
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(body))
    code, said = lta("apply", str(path))
    assert code == 0, said
    assert "run two is applied" in said
    assert read("two")["spec"]["pack"] == body["spec"]["pack"]
    body["metadata"]["name"] = "a-name-that-is-longer-than-forty-characters-is-refused"
    path.write_text(json.dumps(body))
    code, said = lta("apply", str(path))
    assert code == 6
    assert "metadata" in said


def test_stages_of_a_run_that_is_gone_are_collected_unless_somebody_uses_them(
    cluster: Cluster, namespace: str, read: Read, lta: Lta, tmp_path: Path
) -> None:
    store = FolderStore(tmp_path / "store")
    keys = {"used": "a" * 64, "left": "b" * 64, "other": "c" * 64}
    for name, key in keys.items():
        (tmp_path / "file").write_text(name)
        store.publish(
            Publication(stage="sft", key=key, files=(store.put(tmp_path / "file", path="model.bin"),))
        )
    endpoint = {"policy": {"publication": keys["used"], "policy": keys["used"]}}
    stored(cluster, manifest("AskEndpoint", endpoint, name="desk", namespace=namespace))
    maps = f"/api/v1/namespaces/{namespace}/configmaps"

    def leave(run: str, uid: str) -> None:
        metadata = {
            "name": f"{run}-artefacts",
            "labels": {COLLECTABLE: run},
            "annotations": {RUN_UID: uid},
        }
        data = {"store": str(store.root), "keys": "\n".join((keys["used"], keys["left"]))}
        assert cluster.request("POST", maps, {"metadata": metadata, "data": data}).status == 201

    def published() -> set[str]:
        return {one.key for one in store.publications()}

    collect = ("gc", "--cluster", "--store", str(store.root), "--older-than", "0s")
    leave("one", read()["metadata"]["uid"])
    assert lta(*collect)[0] == 0
    assert published() == set(keys.values())  # the run still exists
    leave("gone", "00000000-0000-0000-0000-000000000000")
    assert lta(*collect, "--dry-run")[0] == 0
    assert published() == set(keys.values())
    assert lta(*collect)[0] == 0
    assert published() == {keys["used"], keys["other"]}
    cluster.request("DELETE", f"{collection('AskEndpoint', namespace)}/desk")
    assert lta(*collect)[0] == 0
    assert published() == {keys["other"]}
    assert cluster.request("GET", f"{maps}/gone-artefacts").status == 404
    assert cluster.request("GET", f"{maps}/one-artefacts").status == 200
