"""Training in pods: a pod whose predecessor lost its disk goes on from the store, and two pods train one policy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from learntoask.core.stages.publication import Publication
from learntoask.store.folder import FolderStore
from worlds.pod import Pod, PodWorld
from worlds.scale import free_port

SETTINGS = {
    "train": {
        "base": {"uri": "tiny:"},
        "checkpointEvery": 2,
        "sft": {"epochs": 2, "batchSessions": 2, "learningRate": 0.001},
    }
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodWorld]:
    """A run that is ready to train."""
    world = PodWorld(tmp_path_factory.mktemp("labelled"), SETTINGS)
    for stage in ("fetch", "prepare", "label"):
        world.run(stage)
    yield world
    world.close()


@pytest.fixture
def world(labelled: PodWorld, tmp_path: Path) -> Iterator[PodWorld]:
    world = PodWorld(tmp_path / "world", SETTINGS)
    shutil.copytree(labelled.folder / "store", world.folder / "store")
    yield world
    world.close()


def _weights(found: Publication) -> dict[str, str]:
    return {file.path: file.digest for file in found.files if file.path.startswith("model/")}


def _updates(world: PodWorld) -> list[int]:
    """The updates of the published journal, in order."""
    found = next(file for file in world.published("sft").files if file.path == "metrics.jsonl")
    target = world.folder / "metrics.jsonl"
    world.store.fetch(found, target)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    return [row["update"] for row in rows if row["kind"] == "sft"]


def _trained(pod: Pod, updates: int) -> bool:
    journals = list(pod.folder.glob("work/runs/*/work/*/metrics.jsonl"))
    return bool(journals) and journals[0].read_text().count('"kind": "sft"') >= updates


def test_a_killed_pod_is_followed_by_one_that_goes_on(labelled: PodWorld, world: PodWorld) -> None:
    alone = PodWorld(world.folder / "alone", SETTINGS)
    shutil.copytree(labelled.folder / "store", alone.folder / "store")
    alone.run("sft")
    order = world.order("sft")
    kept = FolderStore(world.folder / "store" / "unfinished")

    first = world.start(order, LTA_CHECKPOINT_SECONDS="1")
    first.until(lambda: any(kept.publications()), what="a checkpoint in the store")
    first.process.kill()  # like a lost node, it leaves no termination message
    first.process.wait(60)
    assert first.ended()[1] == {}

    second = world.start(order, LTA_CHECKPOINT_SECONDS="3600")
    second.until(lambda: "going on from the checkpoint" in second.log, what="continuation")
    done = len(_updates_kept(kept, world))
    second.until(lambda: _trained(second, done + 4), what="further updates")
    second.process.terminate()  # like an evicted pod, it still uploads its checkpoint
    code, words = second.ended()
    assert (code, words["reason"], words["retryable"]) == (143, "Disrupted", True)
    assert len(_updates_kept(kept, world)) > done

    third = world.start(order)
    code, words = third.ended()
    assert code == 0, third.log[-3000:]
    assert "going on from the checkpoint" in third.log
    assert _weights(world.published("sft")) == _weights(alone.published("sft"))
    assert _updates(world) == _updates(alone)
    assert list(kept.items()) == []  # once the stage is published, its checkpoints are removed
    alone.close()


def _updates_kept(kept: FolderStore, world: PodWorld) -> list[str]:
    """Lines of the journal that was uploaded with the newest checkpoint."""
    newest = max(kept.publications(), key=lambda found: found.summary["number"])
    target = world.folder / "kept.jsonl"
    kept.fetch(next(file for file in newest.files if file.path == "metrics.jsonl"), target)
    return target.read_text().splitlines()


def test_two_pods_train_one_policy(labelled: PodWorld, tmp_path: Path) -> None:
    settings = {"train": {**SETTINGS["train"], "distributed": {"workers": 2, "timeout": "2m"}}}
    world = PodWorld(tmp_path / "world", settings)
    shutil.copytree(labelled.folder / "store", world.folder / "store")
    order, rendezvous = world.order("sft"), f"localhost:{free_port()}"
    pods = [
        world.start(order, LTA_WORKERS="2", LTA_RENDEZVOUS=rendezvous, JOB_COMPLETION_INDEX=str(index))
        for index in (0, 1)
    ]
    ended = [pod.ended() for pod in pods]
    assert [code for code, _ in ended] == [0, 0], [pod.log[-3000:] for pod in pods]
    published = world.published("sft")
    assert {words["output"] for _, words in ended} == {published.output}
    assert _updates(world) == list(range(len(_updates(world))))
    assert list(FolderStore(world.folder / "store" / "unfinished").items()) == []
    world.close()
