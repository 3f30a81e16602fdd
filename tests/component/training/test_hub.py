"""Bases from a hub-shaped server: fetched once, checked, continued; wrong addresses and damaged files are told."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from learntoask.core.errors import InputError, StageError
from learntoask.training.base.hub import fetch_from_hub
from worlds.proxy import proxy

COMMIT = "a" * 40
TOKEN = "hf_secret"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": bytes(range(256)) * 4000,
    "pytorch_model.bin": b"not wanted",
    "onnx/model.safetensors": b"not wanted either",
}


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.gets: list[str] = []
        self.damaged = ""


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        if not self.path.removeprefix("/api/models").startswith("/some/model"):
            return self._send(404, b"", body, {"X-Error-Code": "RepoNotFound"})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, b"", body, {"X-Error-Code": "GatedRepo"})
        if self.path.startswith("/api/models/"):
            return self._send(200, json.dumps(self._info()).encode(), body, {})
        name = self.path.partition(f"/resolve/{COMMIT}/")[2]
        content = FILES[name]
        if body:
            self.server.gets.append(name)
        if name == self.server.damaged:
            content = content[:-1] + b"!"
        etag = hashlib.sha256(FILES[name]).hexdigest()
        return self._send(200, content, body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    @staticmethod
    def _info() -> dict:
        siblings = []
        for name, content in FILES.items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            one: dict = {"rfilename": name, "size": len(content), "blobId": blob}
            if name.endswith(".safetensors"):
                digest = hashlib.sha256(content).hexdigest()
                one["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 130}
            siblings.append(one)
        return {"_id": "1", "id": "some/model", "sha": COMMIT, "private": False, "siblings": siblings}

    def _send(self, status: int, content: bytes, body: bool, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(hub: Hub, target: Path, uri: str = "hf:some/model", token: str = TOKEN):
    environment = {"HF_ENDPOINT": hub.address, "HF_TOKEN": token}
    return fetch_from_hub(uri, target, progress=Silent(), environment=environment)


def test_what_a_model_needs_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    found = fetch(hub, tmp_path)
    assert found.commit == COMMIT
    assert sorted(hub.gets) == ["config.json", "model.safetensors", "tokenizer.json"]
    for name in hub.gets:
        assert (tmp_path / name).read_bytes() == FILES[name]
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    hub.gets.clear()
    fetch(hub, tmp_path)
    assert hub.gets == ["model.safetensors"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_hub_on_loopback_is_called_directly(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with proxy() as running:
        monkeypatch.setenv(name, running.url)
        huggingface_hub.close_session()  # the next one reads the variables
        environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN}
        fetch_from_hub("hf:some/model", tmp_path, progress=Silent(), environment=environment)
    assert running.seen == []
    assert len(hub.gets) == 3


def test_a_file_that_is_not_the_hubs_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.damaged = "model.safetensors"
    with pytest.raises(StageError, match=r"model\.safetensors"):
        fetch(hub, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("uri", "token", "said"),
    [
        ("hf:some/model", "", "HF_TOKEN"),
        ("hf:some/other", TOKEN, "is not at"),
        ("hf:model", TOKEN, "hf:owner/name"),
    ],
)
def test_what_cannot_be_had_says_why(hub: Hub, tmp_path: Path, uri: str, token: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        fetch(hub, tmp_path, uri, token)
    assert TOKEN not in str(raised.value)
