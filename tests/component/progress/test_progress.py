"""Pods push progress to the operator with tokens signed by the test's keys, and a stage never waits for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from learntoask.core.pod_contract import PROGRESS_AUDIENCE
from learntoask.progress.client import ProgressPusher
from learntoask.progress.report import ProgressReport, to_wire
from learntoask.progress.server import ProgressServer
from learntoask.progress.tokens import PodIdentity, TokenVerifier
from learntoask.rpc.channels import Tls
from learntoask.rpc.config import ListenConfig
from learntoask.wire import progress_pb2_grpc
from learntoask_operator.endpoint.gateways import GatewayBoard
from worlds.cluster.certificates import Authority
from worlds.waiting import until

KEYS = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
}
SUBJECT = ProgressReport(namespace="lab", run="clinic", stage="sft", attempt=1)
PROGRESS = {"done": 3, "total": 12, "message": "SFT", "metrics": {"loss": 0.5}}
POD = "clinic-sft-0a1b2c3d-1-x7k2p"


def published(*names: str) -> dict[str, Any]:
    makers = {"rsa": RSAAlgorithm, "ec": ECAlgorithm}
    return {
        "keys": [
            {
                **json.loads(makers[name].to_jwk(KEYS[name].public_key())),
                "kid": name,
                "use": "sig",
                "alg": alg,
            }
            for name in names
            for alg in [{"rsa": "RS256", "ec": "ES256"}[name]]
        ]
    }


def token(
    *, key: str = "rsa", pod: str = POD, lifetime: float = 600.0, kid: str | None = None, **claims: Any
) -> str:
    held = {
        "iss": "https://kubernetes.default.svc",
        "sub": "system:serviceaccount:lab:learntoask-stage",
        "aud": [PROGRESS_AUDIENCE],
        "exp": time.time() + lifetime,
        "kubernetes.io": {
            "namespace": "lab",
            "pod": {"name": pod, "uid": "u"},
            "serviceaccount": {"name": "learntoask-stage", "uid": "s"},
        },
        **claims,
    }
    algorithm = {"rsa": "RS256", "ec": "ES256"}[key]
    held = {name: value for name, value in held.items() if value is not None}
    return jwt.encode(held, KEYS[key], algorithm=algorithm, headers={"kid": kid or key})


class ApiServer:
    """An API server that publishes keys or is unreachable."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] | None = ("rsa",)
        self.asked = 0

    async def keys(self) -> dict[str, Any]:
        self.asked += 1
        if self.names is None:
            raise ConnectionError("away")
        return published(*self.names)


@pytest.fixture
def api() -> ApiServer:
    return ApiServer()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def heard() -> list[tuple[ProgressReport, PodIdentity]]:
    return []


async def test_a_pod_reports_over_tls_and_takes_a_renewed_authority(
    api: ApiServer, certificates: Path, tmp_path: Path
) -> None:
    heard: list[ProgressReport] = []
    server = ProgressServer(
        ListenConfig(
            port=0,
            drain_seconds=0.5,
            tls_certificate=certificates / "server.pem",
            tls_key=certificates / "server.key",
        ),
        verify=TokenVerifier(api.keys, now=lambda: 0.0),
        on_report=lambda report, identity: heard.append(report),
        gateways=GatewayBoard(wake=lambda ref: None),
    )
    await server.start()
    held = tmp_path / "token"
    held.write_text(token())
    mounted = Authority(tmp_path).identity.certificate  # not yet that of the operator
    with ProgressPusher(server.address, token=held, tls=Tls(authority=mounted), subject=SUBJECT) as pusher:
        pusher.update(PROGRESS)
        await until(lambda: pusher._failure_logged)
        assert not heard
        (tmp_path / "new").write_bytes((certificates / "ca.pem").read_bytes())
        (tmp_path / "new").replace(mounted)

        def told() -> bool:
            pusher.update(PROGRESS)
            return bool(heard)

        await until(told)
    assert heard[0].done == PROGRESS["done"]
    await server.drain()


@pytest.fixture
async def server(
    api: ApiServer, clock: list[float], heard: list[tuple[ProgressReport, PodIdentity]]
) -> AsyncIterator[ProgressServer]:
    running = ProgressServer(
        ListenConfig(port=0, drain_seconds=0.5),
        verify=TokenVerifier(api.keys, now=lambda: clock[0]),
        on_report=lambda report, identity: heard.append((report, identity)),
        gateways=GatewayBoard(wake=lambda ref: None),
    )
    await running.start()
    yield running
    await running.drain()


async def tell(
    server: ProgressServer, bearer: str | None, report: ProgressReport = SUBJECT
) -> grpc.StatusCode:
    metadata = (("authorization", f"Bearer {bearer}"),) if bearer else ()
    async with grpc.aio.insecure_channel(server.address) as channel:
        try:
            await progress_pb2_grpc.ProgressServiceStub(channel).Report(
                to_wire(report), metadata=metadata, timeout=10
            )
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_a_pod_is_heard_about_its_own_stage(
    server: ProgressServer, heard: list[tuple[ProgressReport, PodIdentity]]
) -> None:
    assert await tell(server, token()) is grpc.StatusCode.OK
    assert heard == [
        (SUBJECT, PodIdentity(namespace="lab", pod=POD, uid="u", service_account="learntoask-stage"))
    ]


# Tokens are made when the test runs, so that an expired one is refused only for its age.
REFUSED: dict[str, Callable[[], str | None]] = {
    "none": lambda: None,
    "nonsense": lambda: "nonsense",
    "expired": lambda: token(lifetime=-60),
    "audience": lambda: token(aud=["https://kubernetes.default.svc"]),
    "endless": lambda: token(exp=None),
    "unknown": lambda: token(key="ec"),  # a key that is not published
    "forged": lambda: token(key="ec", kid="rsa"),  # signed with another key than it names
    "symmetric": lambda: jwt.encode(
        {"aud": PROGRESS_AUDIENCE, "exp": 9e9, "sub": "s"},
        "x" * 32,
        algorithm="HS256",
        headers={"kid": "rsa"},
    ),
    "unbound": lambda: token(
        **{"kubernetes.io": {"namespace": "lab", "serviceaccount": {"name": "s", "uid": "u"}}}
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_other_tokens_are_refused(
    server: ProgressServer, heard: list[tuple[ProgressReport, PodIdentity]], kind: str
) -> None:
    assert await tell(server, REFUSED[kind]()) is grpc.StatusCode.UNAUTHENTICATED
    assert heard == []


@pytest.mark.parametrize(
    "claims",
    [
        {"pod": "other-sft-0a1b2c3d-1-x7k2p"},
        {"pod": "clinic-sft-0a1b2c3d-2-x7k2p"},
        {
            "kubernetes.io": {
                "namespace": "elsewhere",
                "pod": {"name": POD, "uid": "u"},
                "serviceaccount": {"name": "s"},
            }
        },
    ],
    ids=["run", "attempt", "namespace"],
)
async def test_no_pod_speaks_for_another(
    server: ProgressServer, heard: list[tuple[ProgressReport, PodIdentity]], claims: dict[str, Any]
) -> None:
    assert await tell(server, token(**claims)) is grpc.StatusCode.PERMISSION_DENIED
    assert heard == []


async def test_rotated_keys_are_followed_without_asking_at_every_call(
    server: ProgressServer, api: ApiServer, clock: list[float]
) -> None:
    for _ in range(3):
        assert await tell(server, token()) is grpc.StatusCode.OK
    assert api.asked == 1
    api.names = ("ec",)
    assert (
        await tell(server, token(key="ec")) is grpc.StatusCode.UNAUTHENTICATED
    )  # the keys were fetched a moment ago
    clock[0] = 31.0
    assert await tell(server, token(key="ec")) is grpc.StatusCode.OK
    assert await tell(server, token()) is grpc.StatusCode.UNAUTHENTICATED  # the old one is gone
    assert api.asked == 2


async def test_without_keys_nobody_is_taken_at_their_word(server: ProgressServer, api: ApiServer) -> None:
    api.names = None
    assert await tell(server, token()) is grpc.StatusCode.UNAVAILABLE
    api.names = ("rsa",)
    assert await tell(server, token()) is grpc.StatusCode.OK


async def test_what_cannot_be_so_is_told_back(server: ProgressServer) -> None:
    wrong = ProgressReport(namespace="lab", run="clinic", stage="sft", attempt=0)
    assert await tell(server, token(), wrong) is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_latest_is_told_and_the_last(
    server: ProgressServer, heard: list[tuple[ProgressReport, PodIdentity]], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(token() + "\n")
    with ProgressPusher(server.address, token=tmp_path / "token", subject=SUBJECT) as pusher:
        pusher.update(PROGRESS)
        await until(lambda: len(heard) == 1)
        for done in range(4, 12):
            pusher.update({**PROGRESS, "done": done})
        await asyncio.sleep(0.3)
        assert len(heard) == 1  # at most one in two seconds
        await asyncio.to_thread(pusher.__exit__)  # not in the event loop, which has to answer
    assert [report.done for report, _ in heard] == [3, 11]
    assert heard[0][0].metrics == {"loss": 0.5}


async def test_a_stage_does_not_notice_that_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token())
    for address, file in (("127.0.0.1:1", "token"), ("127.0.0.1:1", "absent")):
        started = time.monotonic()
        with ProgressPusher(address, token=tmp_path / file, subject=SUBJECT) as pusher:
            for done in range(12):
                pusher.update({**PROGRESS, "done": done})
            assert time.monotonic() - started < 2.0
        assert time.monotonic() - started < 10.0
