"""A store behind a proxy, and with the keys of an identity that expire: a real MinIO server and its own STS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from learntoask.core.errors import InputError, StoreError
from learntoask.store.address import StoreAddress
from learntoask.store.factory import open_bucket
from learntoask.store.s3.retry import Patience
from minio.credentials import AssumeRoleProvider
from urllib3 import PoolManager
from worlds.minio import MinioServer, minio_server
from worlds.proxy import proxy

TOKEN = "eyJ.projected-token.of-a-pod"
LITTLE = Patience(seconds=0.5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with minio_server(tmp_path_factory.mktemp("minio")) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)


class CloudIdentity(ThreadingHTTPServer):
    """Gives temporary keys, which MinIO's STS made, for `TOKEN`: as an STS does, and as an agent on a node does."""

    daemon_threads = True

    def __init__(self, minio: MinioServer, lifetime: timedelta) -> None:
        super().__init__(("127.0.0.1", 0), _Cloud)
        self.minio, self.lifetime = minio, lifetime
        self.asked: list[str] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def keys(self) -> tuple[str, str, str, str]:
        found = AssumeRoleProvider(
            sts_endpoint=self.minio.endpoint,
            access_key=self.minio.access_key,
            secret_key=self.minio.secret_key,
            http_client=PoolManager(),
        ).retrieve()
        end = (datetime.now(UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        return found.access_key, found.secret_key, found.session_token or "", end


class _Cloud(BaseHTTPRequestHandler):
    server: CloudIdentity

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        given = parse_qs(urlsplit(self.path).query)
        self.server.asked.append(given["RoleArn"][0])
        if given["WebIdentityToken"] != [TOKEN] or given["Action"] != ["AssumeRoleWithWebIdentity"]:
            return self._answer(403, "")
        access, secret, token, end = self.server.keys()
        self._answer(
            self.server.status,
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{access}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken><Expiration>{end}</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        )

    def do_PUT(self) -> None:
        self._answer(self.server.status, "metadata-token")

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.endswith("/security-credentials/"):
            return self._answer(200, "node-role")
        carried = self.headers.get("authorization") or self.headers.get("x-aws-ec2-metadata-token")
        if carried not in (TOKEN, "metadata-token"):
            return self._answer(401, "")
        access, secret, token, end = self.server.keys()
        names = ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
        found = dict(zip(names, (access, secret, token, end), strict=True))
        self._answer(200, str({"Code": "Success", **found}).replace("'", '"'))

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def cloud(server: MinioServer) -> Iterator[CloudIdentity]:
    running = CloudIdentity(server, timedelta(hours=1))
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def web_identity(cloud: CloudIdentity, tmp_path: Path) -> dict[str, str]:
    """The variables that EKS gives to a pod of an annotated service account, and the address of the STS."""
    (tmp_path / "token").write_text(TOKEN)
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/lta",
        "AWS_ENDPOINT_URL_STS": cloud.url,
    }


def test_requests_go_through_the_proxy_of_the_environment(server: MinioServer) -> None:
    with proxy(store=server.port) as running:
        environment = {**server.environment, "HTTP_PROXY": running.url}
        address = StoreAddress(uri="s3://lta/team", endpoint="http://store.example")
        bucket = open_bucket("lta", address, environment, patience=LITTLE)
        bucket.write("team/behind", b"a proxy")
        found = bucket.read("team/behind")
        assert found is not None
        assert found[0] == b"a proxy"
        assert {method for method, _ in running.seen} == {"PUT", "GET"}
        running.seen.clear()
        direct = {**environment, "NO_PROXY": "example", "ALL_PROXY": running.url}
        with pytest.raises(StoreError, match="no answer"):
            open_bucket("lta", address, direct, patience=LITTLE).stat("team/behind")
        near = open_bucket("lta", server.address(), environment, patience=LITTLE)
        assert near.stat("team/behind")
        assert running.seen == []


def test_a_pod_with_a_web_identity_needs_no_keys(
    server: MinioServer, cloud: CloudIdentity, web_identity: dict[str, str]
) -> None:
    bucket = open_bucket("lta", server.address(), web_identity, patience=LITTLE)
    assert cloud.asked == []
    bucket.write("team/identity", b"x")
    assert bucket.stat("team/identity")
    assert cloud.asked == ["arn:aws:iam::1:role/lta"], "the keys are kept while they are valid"
    assert "arn:aws:iam::1:role/lta" in bucket.place.credentials


def test_keys_that_expire_are_fetched_again_with_the_tokens_of_that_time(
    server: MinioServer, cloud: CloudIdentity, web_identity: dict[str, str]
) -> None:
    cloud.lifetime = timedelta(seconds=5)  # less than the 10 s before the end at which keys are renewed
    token = Path(web_identity["AWS_WEB_IDENTITY_TOKEN_FILE"])
    token.write_text("expired")
    bucket = open_bucket("lta", server.address(), web_identity, patience=LITTLE)
    with pytest.raises(StoreError, match=r"role/lta.*HTTP status 403.*role trusts"):
        bucket.stat("team/x")
    token.write_text(TOKEN)  # the kubelet renews it
    for _ in range(2):
        bucket.write("team/identity", b"x")
    assert len(cloud.asked) == 3


def test_a_container_agent_gives_keys_for_the_token_in_its_file(
    server: MinioServer, cloud: CloudIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EKS Pod Identity."""
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.url}/v1/credentials"}
    bucket = open_bucket("lta", server.address(), environment, patience=LITTLE)
    bucket.write("team/agent", b"x")
    assert cloud.asked == ["/v1/credentials"]


def test_the_machine_gives_keys_for_amazons_service_when_nothing_else_does(
    cloud: CloudIdentity, tmp_path: Path
) -> None:
    environment = {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud.url,
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    amazons = StoreAddress(uri="s3://team/lta", endpoint="https://s3.eu-central-1.amazonaws.com")
    bucket = open_bucket("team", amazons, environment)
    assert bucket.place.credentials == "the instance metadata service"
    assert cloud.asked[-1].endswith("/security-credentials/node-role")
    cloud.status = 404
    other = amazons.model_copy(update={"endpoint": "http://minio.example:9000"})
    disabled = {**environment, "AWS_EC2_METADATA_DISABLED": "true"}
    for address, given in ((amazons, environment), (amazons, disabled), (other, environment)):
        with pytest.raises(InputError, match="none were found"):
            open_bucket("team", address, given)


def test_no_message_has_a_token_in_it(server: MinioServer, web_identity: dict[str, str]) -> None:
    silent = {**web_identity, "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"}
    bucket = open_bucket("lta", server.address(), silent, patience=LITTLE)
    with pytest.raises(StoreError, match="role/lta") as refused:
        bucket.stat("team/x")
    error: BaseException | None = refused.value
    while error is not None:
        assert TOKEN not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
