"""Stages in pods: published already, computed, refused, or computed in shards; and their termination messages."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from learntoask.core.pack import load_pack
from learntoask.core.stages.graph import pack_digests
from learntoask.runner.inputs import path_digest
from learntoask.store.folder import FolderStore
from learntoask.wire import grader_pb2, grader_pb2_grpc
from worlds.minio import minio_server
from worlds.pod import PHARMACY, PodWorld


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodWorld]:
    """A run whose stage `prepare` has been published by a pod."""
    world = PodWorld(tmp_path_factory.mktemp("prepared"))
    words = world.run("prepare")
    assert words["skipped"] is False
    assert words["output"] == world.published("prepare").output
    assert words["summary"] == world.published("prepare").summary
    yield world
    world.close()


@pytest.fixture
def world(prepared: PodWorld, tmp_path: Path) -> Iterator[PodWorld]:
    world = PodWorld(tmp_path / "world")
    shutil.copytree(prepared.folder / "store", world.folder / "store")
    yield world
    world.close()


def test_inputs_are_found_and_reported(world: PodWorld) -> None:
    code, words = world.start({"stage": "resolve"}).ended()
    assert code == 0
    assert words == {
        "inputs": {
            "pack": pack_digests(load_pack(PHARMACY / "pack.yaml")),
            "files": {"dataset": path_digest(PHARMACY / "logs.jsonl")},
        }
    }


def test_resolve_refuses_a_pack_with_a_faulty_prompt(tmp_path: Path) -> None:
    pack = tmp_path / "pack.yaml"
    text = (PHARMACY / "pack.yaml").read_text(encoding="utf-8")
    pack.write_text(f"{text}\nprompts: {{judge: '{{{{ field }}}}'}}\n", encoding="utf-8")
    world = PodWorld(tmp_path / "world", {"pack": {"uri": str(pack)}})
    code, words = world.start({"stage": "resolve"}).ended()
    world.close()
    assert (code, words["retryable"]) == (2, False)
    assert "prompts.judge" in words["message"]


def test_what_is_published_is_not_computed_again(world: PodWorld) -> None:
    before = world.published("prepare")
    pod = world.start(world.order("prepare"))
    code, words = pod.ended()
    assert (code, words["skipped"], words["output"]) == (0, True, before.output)
    assert not (pod.folder / "work").exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [({"files": {"dataset": "0" * 64}}, "spec.dataset.uri"), ({"pack": "0" * 64}, "spec.pack.uri")],
)
def test_inputs_that_changed_are_refused(world: PodWorld, change: dict[str, object], field: str) -> None:
    code, words = world.start(world.order("prepare", key="a" * 64, **change)).ended()
    assert (code, words["reason"], words["retryable"]) == (2, "InputChanged", False)
    assert words["message"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("order", "variables", "message"),
    [
        ("", {}, "LTA_STAGE: is not set"),
        ("{", {}, "LTA_STAGE: is not valid JSON"),
        ('{"stage": "label"}', {}, "LTA_STAGE: key: stage label needs one"),
        ('{"stage": "dream", "key": "k"}', {}, "there is no stage 'dream'"),
        ('{"stage": "sft", "key": "k"}', {"LTA_WORKERS": "2"}, "LTA_RENDEZVOUS: "),
        ('{"stage": "sft", "key": "k"}', {"JOB_COMPLETION_INDEX": "first"}, "JOB_COMPLETION_INDEX: "),
        ('{"stage": "sft", "key": "k"}', {"LTA_RUN_FILE": "/absent.json"}, "LTA_RUN_FILE: /absent.json"),
    ],
)
def test_a_pod_says_which_variable_is_wrong(
    world: PodWorld, order: str, variables: dict[str, str], message: str
) -> None:
    code, words = world.start(order, **variables).ended()
    assert (code, words["reason"], words["retryable"]) == (2, "InputError", False)
    assert message in words["message"]


def test_a_store_that_is_away_is_worth_another_attempt(world: PodWorld) -> None:
    (world.folder / "keys").mkdir()
    for name in ("accessKey", "secretKey"):
        (world.folder / "keys" / name).write_text("k" * 8)
    world.changes = {}
    pod = world.start(
        world.order("label"),
        LTA_STORE="s3://lta/team",
        LTA_STORE_ENDPOINT="http://127.0.0.1:1",
        LTA_STORE_CREDENTIALS=str(world.folder / "keys"),
    )
    pod.until(lambda: "trying again" in pod.log, what="patience with the store")
    pod.process.terminate()
    code, words = pod.ended()
    assert (code, words["reason"], words["retryable"]) == (143, "Disrupted", True)


def test_shares_of_several_pods_make_the_output_of_one(world: PodWorld) -> None:
    alone = PodWorld(world.folder / "alone")
    shutil.copytree(world.folder / "store", alone.folder / "store")
    single = alone.run("label")
    order = world.order("label")
    pods = [world.start(order, LTA_SHARDS="3", JOB_COMPLETION_INDEX=str(index)) for index in (0, 1)]
    code, words = pods[1].ended()
    assert (code, words["output"], words["skipped"]) == (0, None, False)
    assert (
        world.store.find(order["key"]) is None
    )  # the third shard is missing, and the first pod waits for it
    pods.append(world.start(order, LTA_SHARDS="3", JOB_COMPLETION_INDEX="2"))
    ended = [pod.ended() for pod in pods]
    assert [code for code, _ in ended] == [0, 0, 0], [pod.log[-2000:] for pod in pods]
    assert ended[0][1]["output"] == single["output"]  # the first pod always reports the output
    assert world.published("label").output == single["output"]
    assert world.published("label").summary == alone.published("label").summary
    kept = FolderStore(world.folder / "store" / "unfinished")
    assert [item for item in kept.items() if item.kind == "publication"] == []
    alone.close()


def test_a_stage_that_crashes_leaves_its_last_words(world: PodWorld) -> None:
    broken = world.folder / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'learntoask.cli.stage' in ' '.join(sys.orig_argv):\n"
        "    print('out of luck', file=sys.stderr, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    pod = world.start(world.order("label"), PYTHONPATH=str(broken))
    code, words = pod.ended()
    assert (code, words["reason"], words["retryable"]) == (137, "Crashed", True)
    assert "killed by SIGKILL" in words["message"]
    assert words["message"].endswith("out of luck")
    assert "out of luck" in pod.log


def test_the_last_words_of_a_failed_stage_say_why(world: PodWorld) -> None:
    manifest = json.loads(world.manifest.read_text())
    manifest["spec"]["label"] = {"method": "annotated"}  # these logs carry no annotations
    world.manifest.write_text(json.dumps(manifest))
    code, words = world.start(world.order("label")).ended()
    assert (code, words["retryable"]) == (3, False)
    assert words["reason"] in ("TooManyFailedLabels", "NoSamples")


def test_published_graders_are_served_to_other_pods(world: PodWorld) -> None:
    for stage in ("label", "grader"):
        world.run(stage)
    published = world.published("grader")
    pin = {"grader": {"key": published.key, "output": published.output}}
    order = world.order("grader", inputs=pin, files={})
    serving = ("--serve-graders", "--host", "127.0.0.1", "--port", "0")
    pod = world.start(order, *serving)
    pod.until(lambda: '"address"' in pod.log, what="an address")
    address = re.search(r'"address":"([^"]+)"', pod.log)
    assert address
    with grpc.insecure_channel(address[1]) as channel:
        offered = grader_pb2_grpc.GraderServiceStub(channel).Info(grader_pb2.GraderInfoRequest(), timeout=30)
    assert {one.name for one in offered.graders} == {"rewarding", "reporting"}
    pod.process.terminate()
    assert pod.process.wait(60) == 0
    wrong = world.start({**order, "inputs": {"grader": {"key": "0" * 64, "output": "0" * 64}}}, *serving)
    assert wrong.ended()[0] == 5
    assert "are not in" in wrong.log


def test_resolve_finds_what_is_wrong_with_the_store_before_any_stage_works(
    world: PodWorld, tmp_path: Path
) -> None:
    """The first attempt says so, and that another one would say the same."""
    with minio_server(tmp_path / "minio") as server:

        def resolve(bucket: str, **variables: str) -> tuple[int, str, bool]:
            store = {"LTA_STORE": f"s3://{bucket}/team", "LTA_STORE_ENDPOINT": server.endpoint}
            code, words = world.start({"stage": "resolve"}, **store, **server.environment | variables).ended()
            return code, words.get("reason", ""), words.get("retryable", True)

        assert resolve("nosuch") == (5, "NoSuchBucket", False)
        assert resolve("lta", AWS_SECRET_ACCESS_KEY="wrong") == (5, "CredentialsRefused", False)
        assert resolve("lta") == (0, "", True)
        left = server.client().list_objects("lta", prefix="team", recursive=True)
        assert not [item.object_name for item in left if "manifest" in str(item.object_name)]


_RIGHTS = {
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
}


def test_resolve_finds_every_right_that_the_policy_of_the_keys_lacks(world: PodWorld, tmp_path: Path) -> None:
    with minio_server(tmp_path / "minio") as server:

        def resolve(number: int, lacks: set[str]) -> tuple[int, dict[str, Any]]:
            keys = server.user(f"user{number}", _RIGHTS - lacks)
            store = {"LTA_STORE": "s3://lta/team", "LTA_STORE_ENDPOINT": server.endpoint}
            return world.start({"stage": "resolve"}, **store, **keys).ended()

        read_only = _RIGHTS - {"s3:GetObject", "s3:ListBucket"}
        for number, lacks in enumerate((read_only, *({right} for right in sorted(_RIGHTS)))):
            code, words = resolve(number, lacks)
            assert (code, words.get("reason"), words.get("retryable")) == (5, "AccessDenied", False), lacks
            assert "need list, read, write, delete and multipart rights on this bucket" in words["message"]
            assert "AWS_ACCESS_KEY_ID" in words["message"], "it says where the keys come from"
        assert resolve(99, set())[0] == 0, "and these rights are enough"
