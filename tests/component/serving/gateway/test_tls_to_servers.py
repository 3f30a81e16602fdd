"""TLS between gateway and policy servers: names, authorities, renewals without a restart, and the change-over to it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from learntoask.client import AsyncClient, CallFailed, user
from learntoask.core.errors import InputError
from learntoask.rpc.logs import structured_logs
from learntoask.serving.gateway.config import GatewayConfig
from worlds.cluster.certificates import Authority, Identity
from worlds.gateway import gateway, write_pack
from worlds.serving import ScriptedEngine, serving
from worlds.waiting import until

NAME = "desk-policy.clinic.svc"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return authority(tmp_path / "ours")


@pytest.fixture
def others(tmp_path: Path) -> Authority:
    return authority(tmp_path / "others")


def authority(folder: Path) -> Authority:
    folder.mkdir()
    return Authority(folder)


class Mounted:
    """A mounted Secret: the kubelet replaces it as a whole, by a link to a new folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._versions = 0

    def put(self, identity: Identity, root: Path) -> None:
        self._versions += 1
        made = self._folder / f"..{self._versions}"
        made.mkdir()
        for name, path in {"tls.crt": identity.certificate, "tls.key": identity.key, "ca.crt": root}.items():
            (made / name).write_bytes(path.read_bytes())
        link = self._folder / "..data"
        (self._folder / "..new").symlink_to(made.name)
        (self._folder / "..new").replace(link)

    def __getitem__(self, name: str) -> Path:
        return self._folder / "..data" / name

    @property
    def of_server(self) -> dict[str, Path]:
        return {"tls_certificate": self["tls.crt"], "tls_key": self["tls.key"]}

    @property
    def of_gateway(self) -> dict[str, object]:
        return {"server_ca": self["ca.crt"], "server_name": NAME}


@pytest.fixture
def secret(tmp_path: Path, ours: Authority) -> Mounted:
    """The Secret of both sides, as cert-manager writes it."""
    mounted = Mounted(tmp_path / "secret")
    mounted.put(ours.signed("server", hosts=(NAME,)), ours.identity.certificate)
    return mounted


async def test_the_gateway_asks_servers_whose_certificate_has_their_name(pack: Path, secret: Mounted) -> None:
    async with (
        serving(ScriptedEngine(), **secret.of_server) as server,
        gateway(pack, server.address, **secret.of_gateway) as front,
        AsyncClient(front.address) as client,
    ):
        assert (await client.decide([user("hi")])).origin == "model"
        async with AsyncClient(server.address, attempts=1, timeout=5) as plain:
            with pytest.raises(CallFailed):
                await plain.decide([user("hi")])


@pytest.mark.parametrize(
    ("wrong", "why"),
    [("authority", "certificate signature failure"), ("name", "Hostname Verification Check")],
)
async def test_another_server_gets_no_conversation_and_the_gateway_says_why(
    pack: Path, ours: Authority, others: Authority, tmp_path: Path, wrong: str, why: str
) -> None:
    """Both would be an attacker: one without our authority, one with a certificate for something else."""
    mounted = Mounted(tmp_path / "secret")
    signer, host = (others, NAME) if wrong == "authority" else (ours, "other-policy.clinic.svc")
    mounted.put(signer.signed("server", hosts=(host,)), ours.identity.certificate)
    engine, sink = ScriptedEngine(), StringIO()
    with structured_logs(stream=sink):
        async with (
            serving(engine, **mounted.of_server) as server,
            gateway(pack, server.address, fallback="refuse", **mounted.of_gateway) as front,
            AsyncClient(front.address, attempts=1) as client,
        ):
            await until(lambda: why in front.backends.trouble)
            with pytest.raises(CallFailed) as refused:
                await client.decide([user("hi")])
            assert refused.value.code == "UNAVAILABLE"
            assert front.backends.trouble.startswith(server.address)
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [line for line in lines if line["message"] == "server" and why in line.get("why", "")]
    assert [line for line in lines if why in line.get("unanswered", "")]
    assert not engine.contexts


async def test_certificate_and_authority_are_renewed_without_a_restart(
    pack: Path, secret: Mounted, others: Authority
) -> None:
    async with (
        serving(ScriptedEngine(), **secret.of_server) as server,
        gateway(pack, server.address, resolve_seconds=0.05, **secret.of_gateway) as front,
        AsyncClient(front.address) as client,
    ):
        assert (await client.decide([user("hi")])).origin == "model"
        secret.put(others.signed("server", hosts=(NAME,)), others.identity.certificate)
        before = front.backends._read_tls
        await until(lambda: front.backends._read_tls is not before and all(front.backends.serving()))
        assert (await client.decide([user("hi")])).origin == "model"
        async with serving(ScriptedEngine(), **secret.of_server) as second:
            front.backends.told([server.address, second.address])  # a new server has the new one only
            await until(lambda: front.backends.serving() == [True, True])
        secret["ca.crt"].unlink()
        assert (await client.decide([user("hi")])).origin == "model", "the last whole authority is kept"


async def test_an_endpoint_changes_over_to_tls_without_the_fallback(pack: Path, secret: Mounted) -> None:
    """With server_plain_text a gateway asks old servers without TLS and new ones with it; then TLS alone."""
    over = {**secret.of_gateway, "server_plain_text": True, "resolve_seconds": 0.05}
    async with (
        serving(ScriptedEngine(), revision="old") as old,
        serving(ScriptedEngine(), revision="new", **secret.of_server) as new,
    ):
        async with gateway(pack, old.address, **over) as front, AsyncClient(front.address) as client:
            await until(lambda: all(front.backends.serving()))
            assert (await client.decide([user("hi")])).policy_revision == "old"
            front.backends.told([old.address, new.address])
            await until(lambda: front.backends.serving() == [True, True])
            await old.drain()
            answers = [(await client.decide([user("hi")], conversation_id=str(n))) for n in range(8)]
            assert {answer.policy_revision for answer in answers} == {"new"}
        async with (
            serving(ScriptedEngine()) as plain,
            gateway(pack, plain.address, patience_seconds=0.0, **secret.of_gateway) as strict,
            AsyncClient(strict.address) as client,
        ):
            assert (await client.decide([user("hi")])).origin == "no_server"


def test_plain_text_is_no_setting_of_its_own(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="server_plain_text needs server_ca"):
        GatewayConfig(servers=("a:1",), pack=pack, server_plain_text=True)


async def test_an_authority_that_is_missing_at_the_start_is_named(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent cannot be read"):
        async with gateway(pack, "localhost:1", server_ca=tmp_path / "absent"):
            pass


async def test_probes_without_tls_hear_of_the_health_and_of_nothing_else(secret: Mounted) -> None:
    async with (
        serving(ScriptedEngine(), health_port=0, **secret.of_server) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        found = await health.Check(health_pb2.HealthCheckRequest())
        assert found.status == health_pb2.HealthCheckResponse.SERVING
        decide = channel.unary_unary("/learntoask.v1.AskService/Decide")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await decide(b"")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await server.drain()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
