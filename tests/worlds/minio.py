"""A real MinIO server on loopback with its own data folder. Tests may stop it, start it again and damage its data.

People start one for the development cluster: `python -m worlds.minio FOLDER` (docs/cluster.md).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from learntoask.store.address import StoreAddress
from learntoask.store.factory import open_bucket
from learntoask.store.s3.bucket import Bucket
from learntoask.store.s3.retry import PATIENCE, Patience
from learntoask.store.s3.store import S3Store
from minio import Minio
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin
from urllib3 import PoolManager

ROOT = Path(__file__).resolve().parents[2]
TOOLCHAIN = Path(os.environ.get("LTA_TOOLCHAIN") or ROOT / ".cache" / "toolchain")
_START_SECONDS = 120.0


def minio_command() -> Path:
    """Return the path of the server that `make minio` built. Skips the test if it is not built."""
    key = hashlib.sha256((ROOT / "tests" / "toolchain" / "minio" / "go.sum").read_bytes()).hexdigest()[:12]
    command = TOOLCHAIN / f"minio-{key}" / "minio"
    if not command.is_file():
        pytest.skip("the MinIO server is not built: install Go and run `make minio`")
    return command


@dataclass
class MinioServer:
    """A MinIO server. Each test has its own prefix, `team`, in the bucket `lta`. Only `environment` has the keys."""

    data: Path
    port: int
    certificates: Path | None = None
    processors: int | None = 1
    team: str = "team"
    access_key: str = field(default_factory=lambda: "test" + secrets.token_hex(4), repr=False)
    secret_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.certificates else 'http'}://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def address(self, uri: str | None = None) -> StoreAddress:
        return StoreAddress(uri=uri or f"s3://lta/{self.team}", endpoint=self.endpoint)

    def bucket(self, name: str = "lta", *, patience: Patience = PATIENCE) -> Bucket:
        return open_bucket(name, self.address(), self.environment, patience=patience)

    def store(self, *, patience: Patience = PATIENCE) -> S3Store:
        return S3Store(self.bucket(patience=patience), prefix=self.team)

    def client(self) -> Minio:
        """Return MinIO's own client, with which a test changes objects without the store's knowledge."""
        host = f"127.0.0.1:{self.port}"
        if self.certificates is None:
            return Minio(host, self.access_key, self.secret_key, secure=False)
        trusting = PoolManager(ca_certs=str(self.certificates / "authority" / "ca.pem"))
        return Minio(host, self.access_key, self.secret_key, http_client=trusting)

    def user(self, name: str, actions: Iterable[str]) -> dict[str, str]:
        """Create a user who may do `actions` (such as `s3:GetObject`) in every bucket. Return the user's keys as
        variables."""
        secret = secrets.token_hex(16)
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": ["arn:aws:s3:::*"]}
        provider = StaticProvider(self.access_key, self.secret_key)
        host, secure = f"127.0.0.1:{self.port}", self.certificates is not None
        admin = MinioAdmin(endpoint=host, credentials=provider, secure=secure)
        admin.user_add(name, secret)
        admin.policy_add(name, policy={"Version": "2012-10-17", "Statement": [statement]})
        admin.policy_set(name, user=name)
        return {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret}

    def start(self) -> None:
        command = [minio_command(), "server", self.data, "--address", f"127.0.0.1:{self.port}", "--quiet"]
        if self.certificates:
            command += ["--certs-dir", self.certificates]
        environment = {
            **os.environ,
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        if self.processors:
            environment["GOMAXPROCS"] = str(self.processors)
        with (self.data.parent / "minio.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self._ready():
                return
            time.sleep(0.05)
        self.stop()
        pytest.fail(f"MinIO did not start: {(self.data.parent / 'minio.log').read_text()[-2000:]}")

    def reset(self, team: str) -> None:
        """Prepare for the next test: the server runs, and the store below `team` is empty."""
        self.team = team
        if self.process is None:
            self.start()
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def _ready(self) -> bool:
        if self.certificates:  # with TLS the port opens only when the server is almost ready
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        try:
            with urlopen(f"{self.endpoint}/minio/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@contextmanager
def minio_server(
    folder: Path, *, certificates: Path | None = None, processors: int | None = 1, port: int = 0
) -> Iterator[MinioServer]:
    """Run a server with a bucket `lta` on `processors` CPUs (None: all), and kill it at the end. Port 0 takes a free
    one.

    `certificates` is a folder with `public.crt`, `private.key`, and `authority/ca.pem`, which signed them.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    server = MinioServer(data=folder / "data", port=port, certificates=certificates, processors=processors)
    folder.mkdir(exist_ok=True)
    server.start()
    try:
        if not server.client().bucket_exists("lta"):
            server.client().make_bucket("lta")
        yield server
    finally:
        server.stop()


def main() -> None:
    """Run a server with a bucket `lta` at port 9000 until Ctrl-C, and print what gives a cluster its keys."""
    with minio_server(Path(sys.argv[1]).resolve(), processors=None, port=9000) as server:
        keys = server.environment
        print(f"export LTA_STORE=s3://lta/team LTA_STORE_ENDPOINT={server.endpoint}")
        print("export", *(f"{name}={value}" for name, value in keys.items()))
        print(
            "kubectl create secret generic store --from-literal=accessKey=$AWS_ACCESS_KEY_ID "
            "--from-literal=secretKey=$AWS_SECRET_ACCESS_KEY",
            flush=True,
        )
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
