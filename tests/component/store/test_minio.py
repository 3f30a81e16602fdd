"""A store in a real MinIO server that is killed, damaged, frozen, behind TLS, or used with wrong keys."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from learntoask.core.errors import StoreError
from learntoask.core.stages.publication import Publication
from learntoask.store.factory import open_store
from learntoask.store.garbage_collection import collect
from learntoask.store.s3 import client as connecting
from learntoask.store.s3.bucket import Bucket
from learntoask.store.s3.retry import Patience
from learntoask.store.s3.transfer import PART_BYTES
from worlds.minio import MinioServer, minio_server

KEY = "c" * 64
LITTLE = Patience(seconds=2)
PUT = """
import sys
from pathlib import Path
from learntoask.store.address import StoreAddress
from learntoask.store.factory import open_store
store = open_store(StoreAddress.model_validate_json(sys.argv[1]))
store.put(Path(sys.argv[2]), path="file")
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
def large(tmp_path: Path) -> Path:
    (tmp_path / "large").write_bytes(os.urandom(6 * PART_BYTES + 3))
    return tmp_path / "large"


def _arrived(server: MinioServer) -> int:
    """Return the number of parts of pending uploads on the server's disk."""
    return len(list(server.data.glob(".minio.sys/multipart/*/*/*/part.*[0-9]")))


def _wait_for_parts(
    server: MinioServer, count: int, *, running: subprocess.Popen[bytes] | None = None
) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _arrived(server) < count:
        assert running is None or running.poll() is None, "ended before it could be killed"
        time.sleep(0.005)
    assert _arrived(server) >= count


def _killed_while_putting(server: MinioServer, source: Path, *, after_parts: int) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", PUT, server.address().model_dump_json(), str(source)],
        env={**os.environ, **server.environment},
    )
    try:
        _wait_for_parts(server, after_parts, running=running)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait(30)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the parts that are sent during the test."""
    numbers: list[int] = []
    send = Bucket.send

    def counted(self: Bucket, key: str, upload: str, *, number: int, content: bytes) -> str | None:
        numbers.append(number)
        return send(self, key, upload, number=number, content=content)

    monkeypatch.setattr(Bucket, "send", counted)
    return numbers


def test_a_killed_upload_goes_on_where_it_was(
    server: MinioServer, large: Path, tmp_path: Path, sent: list[int]
) -> None:
    _killed_while_putting(server, large, after_parts=2)
    arrived = _arrived(server)
    server.stop()  # received parts survive a restart of the server
    server.start()
    file = server.store().put(large, path="file")
    assert 0 < len(sent) <= 7 - arrived + 1  # one part may have been on disk but not accepted yet
    server.store().fetch(file, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()
    assert _arrived(server) == 0


def test_a_part_that_the_server_changed_or_lost_is_sent_again(
    server: MinioServer, large: Path, tmp_path: Path, sent: list[int]
) -> None:
    bucket, store = server.bucket(), server.store()
    _killed_while_putting(server, large, after_parts=3)
    key = next(item.name.removeprefix("claims/") for item in store.items() if item.kind == "leftover")
    blob = f"{server.team}/blobs/{key[:2]}/{key}"
    upload = bucket.uploads(blob)[0]
    bucket._call(
        "writing", blob, lambda: bucket._client._upload_part("lta", blob, b"x" * PART_BYTES, None, upload, 1)
    )
    file = store.put(large, path="file")
    assert 1 in sent
    store.fetch(file, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()


def test_a_killed_upload_that_nobody_continues_is_collected(server: MinioServer, large: Path) -> None:
    _killed_while_putting(server, large, after_parts=2)
    server.stop()
    server.start()  # MinIO loses its list of uploads, but not the uploads
    store = server.store()
    assert collect(store, unused_since=time.time() - 60, keep=None, dry_run=False).removed == ()
    removed = collect(store, unused_since=time.time() + 60, keep=None, dry_run=False).removed
    assert [item.kind for item in removed] == ["leftover"]
    assert removed[0].size >= PART_BYTES  # one of the two parts on disk may not have been accepted yet
    assert _arrived(server) == 0
    assert list(store.items()) == []


def test_an_outage_in_the_middle_of_an_upload_is_waited_out(
    server: MinioServer, large: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(server.store().put, large, path="file")
        _wait_for_parts(server, 2)
        server.stop()
        time.sleep(3)
        server.start()
        file = putting.result(120)
    server.store().fetch(file, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()
    assert any("trying again" in record.getMessage() for record in caplog.records)


def test_an_outage_in_the_middle_of_a_fetch_is_waited_out(
    server: MinioServer, large: Path, tmp_path: Path
) -> None:
    file = server.store().put(large, path="file")
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(server.store().fetch, file, tmp_path / "copy")
        time.sleep(2)
        server.start()
        fetching.result(120)
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_content_that_the_server_lost_is_an_error_that_names_it(
    server: MinioServer, large: Path, tmp_path: Path, damage: str
) -> None:
    store = server.store(patience=LITTLE)
    file = store.put(large, path="model.safetensors")
    part = next(server.data.glob(f"lta/{server.team}/blobs/*/{file.digest}/*/part.2"))
    if damage == "lost":
        part.unlink()
    else:
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 1
        part.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        store.fetch(file, tmp_path / "copy")
    assert file.digest in str(caught.value)
    assert caught.value.reason == "ServerFailing"
    assert not (tmp_path / "copy").exists()
    assert not list(tmp_path.glob("copy*"))


def test_a_server_that_does_not_answer_is_given_up_in_time(
    server: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_SOCKET_SECONDS", 2.0)
    store = server.store(patience=LITTLE)
    server.store().find(KEY)  # the server responds, even on a busy machine
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    os.waitpid(server.process.pid, os.WUNTRACED)  # returns when all its threads are stopped
    before = time.monotonic()
    with pytest.raises(StoreError, match=r"no answer .*run again") as caught:
        store.find(KEY)
    assert time.monotonic() - before < 30
    assert caught.value.reason == "Unreachable"
    server.process.send_signal(signal.SIGCONT)
    assert server.store().find(KEY) is None


def test_a_server_that_is_down_is_named(server: MinioServer, tmp_path: Path) -> None:
    store = server.store(patience=LITTLE)
    server.stop()
    (tmp_path / "file").write_text("x")
    for use in (
        lambda: store.find(KEY),
        lambda: store.put(tmp_path / "file", path="file"),
        lambda: store.publish(Publication(stage="sft", key=KEY, files=())),
        lambda: list(store.items()),
    ):
        with pytest.raises(StoreError, match=server.endpoint) as caught:
            use()
        assert caught.value.reason == "Unreachable"


def test_wrong_keys_and_missing_buckets_are_told_apart_at_once(server: MinioServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    wrong = {**server.environment, "AWS_SECRET_ACCESS_KEY": "wrong-secret-of-mine"}
    nobody = {**server.environment, "AWS_ACCESS_KEY_ID": "nobody"}
    for environment in (wrong, nobody):
        store = open_store(server.address(), environment)
        for use in (lambda store=store: store.find(KEY), lambda store=store: list(store.items())):
            with pytest.raises(StoreError, match="AWS_ACCESS_KEY_ID in the environment") as caught:
                use()
            assert caught.value.reason == "CredentialsRefused"
            for secret in (*environment.values(), *server.environment.values()):
                assert secret not in str(caught.value)
        with pytest.raises(StoreError):
            store.put(tmp_path / "file", path="file")
    missing = open_store(server.address("s3://no-such-bucket/team"), server.environment)
    for use in (lambda: missing.find(KEY), lambda: missing.put(tmp_path / "file", path="file")):
        with pytest.raises(StoreError, match="there is no bucket 'no-such-bucket'") as caught:
            use()
        assert caught.value.reason == "NoSuchBucket"


def test_rotated_keys_of_a_mounted_secret_are_followed(server: MinioServer, tmp_path: Path) -> None:
    mounted = tmp_path / "secret"
    mounted.mkdir()
    (mounted / "accessKey").write_text(server.access_key)
    (mounted / "secretKey").write_text("the-old-one")
    store = open_store(server.address().model_copy(update={"credentials": mounted}), {})
    with pytest.raises(StoreError, match=str(mounted)):
        store.find(KEY)
    (mounted / "secretKey").write_text(server.secret_key + "\n")
    assert store.find(KEY) is None


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `public.crt` and `private.key` for MinIO, and `authority/ca.pem`, which signed them."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed: no certificates to test TLS with")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *new_key, "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    openssl("req", *new_key[:-2], "-subj", "/CN=minio", "-keyout", "private.key", "-out", "request")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "request", *signing, "-out", "public.crt")
    (folder / "authority").mkdir()
    (folder / "ca.pem").rename(folder / "authority" / "ca.pem")
    return folder


def test_a_private_authority_is_trusted_when_it_is_given(
    certificates: Path, large: Path, tmp_path: Path
) -> None:
    with minio_server(tmp_path / "minio", certificates=certificates) as server:
        trusting = server.address().model_copy(update={"ca": certificates / "authority" / "ca.pem"})
        store = open_store(trusting, server.environment)
        file = store.put(large, path="file")
        store.fetch(file, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == large.read_bytes()
        before = time.monotonic()
        with pytest.raises(StoreError, match=r"spec\.store\.ca") as caught:
            open_store(server.address(), server.environment).find(KEY)
        assert caught.value.reason == "CertificateNotTrusted"
        assert time.monotonic() - before < 30
