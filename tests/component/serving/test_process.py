"""The server as a process that gets SIGTERM, the serve stage, and the chat."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from learntoask.cli.serving.conversation import converse
from learntoask.client import CallFailed, Client, Conversation, user
from learntoask.core.manifest import RunSpec
from learntoask.core.stages.contract import StageContext
from learntoask.serving import stage
from learntoask.serving.config import ServeConfig
from learntoask.serving.process import local_server
from rich.console import Console
from worlds.serving import PACK
from worlds.serving_policy import save_policy

PROGRAM = """
import os
from learntoask.serving.config import read_config
from learntoask.serving.process import run_server

def configure():
    return read_config(os.environ, {})

run_server(configure(), configure=configure, ready=lambda address: print(address, flush=True))
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "grpo").mkdir()
    save_policy(folder / "grpo" / "model")
    (folder / "pack.json").write_text(PACK.model_dump_json(by_alias=True))
    return folder


@pytest.mark.timeout(900)
def test_a_terminated_server_finishes_its_answer_records_and_exits_with_success(folder: Path):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "LTA_SERVE_MODEL": str(folder / "grpo" / "model"),
        "LTA_SERVE_PACK": str(folder / "pack.json"),
        "LTA_SERVE_PORT": "0",
        "LTA_SERVE_RECORDS": str(folder / "records"),
        "LTA_SERVE_DEADLINE_SECONDS": "200",
        "LTA_SERVE_DRAIN_SECONDS": "200",
    }
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = server.stdout.readline().strip()
        with Client(address, timeout=200, attempts=1) as client:
            with client.converse(conversation_id="c") as conversation:
                assert conversation.say("it hurts").question
                server.send_signal(signal.SIGTERM)
                with pytest.raises(CallFailed) as closed:
                    _talk_on(conversation)
            assert closed.value.code == "UNAVAILABLE"
        _, errors = server.communicate(timeout=100)
    finally:
        server.kill()
    assert server.returncode == 0
    log = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert [line["message"] for line in log if line["message"] != "call"] == [
        "serving",
        "draining",
        "drained",
    ]
    (path,) = (folder / "records").iterdir()
    (record,) = map(json.loads, path.read_text().splitlines())
    assert record["messages"][0]["content"] == "it hurts"
    assert record["session_id"].startswith("c/")


def _talk_on(conversation: Conversation) -> None:
    for _ in range(50):
        conversation.say("and more")


class Told:
    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        self.steps.append((done, total))


def test_the_serve_stage_holds_the_packs_demo_over_grpc(folder: Path, tmp_path: Path):
    pack = PACK.model_copy(update={"demo": ("It hurts.", "Since monday."), "demo_task": "refill"})
    (tmp_path / "out").mkdir()
    told = Told()
    spec = {
        "dataset": {"uri": "x"},
        "pack": {"uri": "y"},
        "serve": {"maxNewTokens": 12, "prefixCache": "16Mi"},
    }
    summary = stage.run(
        StageContext(
            stage="serve",
            key="k",
            spec=RunSpec.model_validate(spec),
            pack=pack,
            inputs={"grpo": folder / "grpo", "gate": folder},
            files={},
            out=tmp_path / "out",
            work=tmp_path,
            progress=told,
        )
    )
    demo = json.loads((tmp_path / "out" / "demo.json").read_text())
    policy = json.loads((tmp_path / "out" / "policy.json").read_text())
    assert [turn["text"] for turn in demo["turns"][::2]] == ["It hurts.", "Since monday."][
        : len(demo["turns"]) // 2
    ]
    assert all(0 <= turn["stopProbability"] <= 1 and turn["text"] for turn in demo["turns"][1::2])
    assert demo["task"] == "refill"
    assert demo["revision"] == policy["revision"] == summary["revision"]
    assert (policy["tasks"], policy["mayStop"], policy["maxNewTokens"]) == (["default", "refill"], True, 12)
    assert policy["stopThreshold"] == RunSpec.model_validate(spec).train.stop_threshold
    assert told.steps[0][0] == 0
    assert told.steps[-1] == (2, 2)
    config = ServeConfig(
        model=folder / "grpo" / "model", pack=tmp_path / "out" / "pack.json", port=0, deadline_seconds=200
    )
    with local_server(config) as server, Client(server.address, timeout=200) as client:
        info = client.server_info()
        assert (info.policy_revision, info.pack_digest) == (policy["revision"], policy["packDigest"])
        assert client.decide([user("hi")], task="refill").policy_revision == policy["revision"]
        shown = _chat(client, "it hurts", "/new", "my pills", "/quit", task="refill")
    assert f"policy {policy['revision'][:12]}" in shown
    assert shown.count("stop probability") == 2
    assert "new conversation" in shown


def _chat(client: Client, *typed: str, task: str) -> str:
    lines = iter(typed)
    console = Console(file=io.StringIO(), width=200)
    console.input = lambda _prompt: next(lines)  # stands for a person's input
    converse(client, console, task=task)
    return console.file.getvalue()
