"""`lta serve --publication` and `lta gateway --publication`, the commands of an endpoint's pods."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from learntoask.client import Client, user
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.core.stages.publication import Publication
from learntoask.store.folder import FolderStore
from worlds.serving import PACK
from worlds.serving_policy import load_policy, save_policy
from worlds.stopping_policy import learn_to_stop

SERVED, TRAINED = "5" * 64, "7" * 64


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a published policy, which stops where it hurts: what it answers is no fallback."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("published")
    model = folder / "grpo" / "model"
    save_policy(model)
    policy = load_policy(model)
    learn_to_stop(
        policy,
        Context("refill", None, (Message(role="user", content="it hurts", author="user"),)),
        updates=40,
    )
    policy.model.save_pretrained(model)
    (folder / "serve").mkdir()
    pack = PACK.model_copy(update={"demo": ("It hurts.", "Since monday."), "demo_task": "refill"})
    (folder / "serve" / "pack.json").write_text(pack.model_dump_json(by_alias=True))
    (folder / "serve" / "policy.json").write_text(
        json.dumps({"mayStop": True, "maxPromptTokens": 1024, "maxNewTokens": 8})
    )
    store = FolderStore(folder / "store")
    for stage, key in (("grpo", TRAINED), ("serve", SERVED)):
        out = folder / stage
        files = tuple(
            store.put(path, path=str(path.relative_to(out)))
            for path in sorted(out.rglob("*"))
            if path.is_file()
        )
        store.publish(Publication(stage=stage, key=key, files=files))
    return folder / "store"


@contextmanager
def command(*arguments: str, store: Path, home: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "learntoask.cli.app", *arguments],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "LTA_STORE": str(store),
            "LTA_HOME": str(home),
            "LTA_PUBLICATION": SERVED,
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def address_in(process: subprocess.Popen[str], word: str) -> str:
    """Wait for the line that the command prints when it is ready."""
    for line in process.stderr:
        if line.startswith(word):
            return line.split()[-1]
    raise AssertionError(f"{process.args} ended with {process.wait(10)}")


@pytest.mark.timeout(600)
def test_server_and_gateway_fetch_by_key_warm_up_and_answer_until_they_are_told_to_end(
    store: Path, tmp_path: Path
):
    serve = command(
        "serve", "--port", "0", store=store, home=tmp_path / "a", LTA_POLICY=TRAINED, LTA_SERVE_WARM_UP="true"
    )
    with serve as server:
        lines = []
        for line in server.stderr:
            lines.append(line)
            if line.startswith("serving on"):
                break
        assert lines, "the server said nothing"
        address = lines[-1].split()[-1]
        front = command("gateway", "--port", "0", "--server", address, store=store, home=tmp_path / "b")
        with front as gateway, Client(address_in(gateway, "gateway on"), timeout=100) as client:
            info = client.server_info()
            assert (info.pack, len(info.policy_revision)) == ("pharmacy", 64)
            decision = client.decide([user("it hurts")], task="refill")
            assert (decision.origin, decision.stop) == ("model", True)
            assert decision.policy_revision == info.policy_revision
            server.send_signal(signal.SIGTERM)
            rest = server.communicate(timeout=120)[1]
            assert server.returncode == 0
            assert client.decide([user("it hurts")], task="refill").origin == "no_server"
            gateway.send_signal(signal.SIGTERM)
            gateway.communicate(timeout=60)
            assert gateway.returncode == 0
    said = [json.loads(line) for line in [*lines, *rest.splitlines()] if line.startswith("{")]
    warm = next(line for line in said if line["message"] == "warm")
    assert 1 <= warm["answers"] <= 2


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("9" * 64, "999999999999 is not published in"),
        (SERVED, "is a publication of stage serve, not of grpo"),
    ],
)
def test_a_key_that_is_no_policy_ends_the_server_with_the_reason(
    store: Path, tmp_path: Path, policy: str, message: str
):
    with command("serve", "--port", "0", store=store, home=tmp_path, LTA_POLICY=policy) as server:
        _, said = server.communicate(timeout=850)
    assert server.returncode == 5
    assert message in said


@pytest.mark.timeout(900)
def test_a_policy_whose_numbers_are_none_does_not_warm_up(store: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 - torch

    save_policy(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    tensors = {name: torch.full_like(one, float("nan")) for name, one in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    (tmp_path / "pack.json").write_text(PACK.model_dump_json(by_alias=True))
    arguments = (
        "serve",
        "--port",
        "0",
        "--model",
        str(tmp_path / "model"),
        "--pack",
        str(tmp_path / "pack.json"),
    )
    with command(
        *arguments, store=store, home=tmp_path, LTA_SERVE_WARM_UP="true", LTA_PUBLICATION=""
    ) as server:
        _, said = server.communicate(timeout=850)
    assert server.returncode == 3
    assert "error (WarmUpFailed)" in said
