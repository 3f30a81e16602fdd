"""A gateway and the operator's server: the operator tells where servers are, the gateway how many it sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from learntoask.client import AsyncClient, user
from learntoask.core.errors import InputError
from learntoask.kube import ENDPOINT
from learntoask.progress.server import ProgressServer
from learntoask.progress.tokens import PodIdentity, TokenRefused
from learntoask.rpc.config import ListenConfig
from learntoask.serving.gateway.config import GatewayConfig, read_config
from learntoask.wire import gateway_pb2
from learntoask.wire.gateway_pb2_grpc import GatewayServiceStub
from learntoask_operator.endpoint.gateways import GatewayBoard
from learntoask_operator.loop import Ref
from worlds.gateway import gateway, write_pack
from worlds.serving import ScriptedEngine, serving
from worlds.waiting import until

DESK = Ref(kind=ENDPOINT, namespace="clinic", name="desk")
POD = "desk-gateway-7d9f8-x7k2p"
NOWHERE = "nobody.invalid:50051"  # no look-up finds a server


async def verify(token: str) -> PodIdentity:
    """Take the token for the name of a pod."""
    if not token.startswith("desk"):
        raise TokenRefused("not of a pod")
    return PodIdentity(namespace="clinic", pod=token, uid="u", service_account="default")


@asynccontextmanager
async def operator(board: GatewayBoard, *, port: int = 0) -> AsyncIterator[ProgressServer]:
    server = ProgressServer(
        ListenConfig(port=port, drain_seconds=0.1),
        verify=verify,
        on_report=lambda report, identity: None,
        gateways=board,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.drain()


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{POD}\n")
    return path


async def test_a_server_is_known_as_soon_as_the_operator_tells_of_it(pack: Path, token: Path):
    woken: list[Ref] = []
    board = GatewayBoard(wake=woken.append)
    async with AsyncExitStack() as running:
        chief = await running.enter_async_context(operator(board))
        board.publish(DESK, (), pods=[POD])
        link = {"operator": chief.address, "operator_token": token, "endpoint": "desk"}
        front = await running.enter_async_context(
            gateway(pack, NOWHERE, patience_seconds=0.0, resolve_seconds=3600.0, **link)
        )
        client = await running.enter_async_context(AsyncClient(front.address))
        await until(lambda: board.views(DESK) == {POD: 0})
        assert (await client.decide([user("hi")])).origin == "no_server"
        one = await running.enter_async_context(serving(ScriptedEngine(), drain_seconds=0.2))
        other = await running.enter_async_context(serving(ScriptedEngine(), drain_seconds=0.2))
        board.publish(DESK, (one.address, other.address), pods=[POD])
        await until(lambda: board.views(DESK) == {POD: 2})
        assert woken[-1] == DESK
        assert (await client.decide([user("hi")])).origin == "model"
        await one.drain()
        await until(lambda: board.views(DESK) == {POD: 1})
        board.publish(DESK, (other.address,), pods=[POD])
        await until(lambda: front.backends.serving() == [True])
        assert (await client.decide([user("hi")])).origin == "model"
        board.publish(DESK, (other.address,), pods=[])  # the gateway's pod is gone
        assert board.views(DESK) == {}


async def test_without_an_operator_the_servers_known_go_on_answering_and_the_next_one_is_told_again(
    pack: Path, token: Path
):
    first, second = GatewayBoard(wake=lambda ref: None), GatewayBoard(wake=lambda ref: None)
    async with AsyncExitStack() as running:
        server = await running.enter_async_context(serving(ScriptedEngine()))
        async with operator(first) as chief:
            first.publish(DESK, (server.address,), pods=[POD])
            link = {"operator": chief.address, "operator_token": token, "endpoint": "desk"}
            front = await running.enter_async_context(gateway(pack, NOWHERE, **link))
            client = await running.enter_async_context(AsyncClient(front.address))
            await until(lambda: first.views(DESK) == {POD: 1})
            port = chief.port
        for _ in range(3):
            assert (await client.decide([user("hi")])).origin == "model"
        async with operator(second, port=port):
            await until(lambda: second.views(DESK) == {POD: 1})
            more = await running.enter_async_context(serving(ScriptedEngine()))
            second.publish(DESK, (server.address, more.address), pods=[POD])
            await until(lambda: second.views(DESK) == {POD: 2})


async def test_what_a_lost_operator_told_counts_until_a_look_up_finds_servers(pack: Path):
    async with AsyncExitStack() as running:
        told = await running.enter_async_context(serving(ScriptedEngine()))
        found = await running.enter_async_context(serving(ScriptedEngine()))
        front = await running.enter_async_context(gateway(pack, found.address))
        await until(lambda: front.backends.serving() == [True])
        front.backends.told([told.address])
        await until(lambda: front.backends.serving() == [True, True])
        front.backends.told_no_more()
        await until(lambda: front.backends.serving() == [True])
        assert front.backends.choose("c", set()).address == found.address


@pytest.mark.parametrize(
    ("pod", "view", "code"),
    [
        ("desk-gateway-7d9f8-x7k2p", {"endpoint": "other", "serving": 1}, grpc.StatusCode.PERMISSION_DENIED),
        ("desk-0a1b2c-x7k2p", {"endpoint": "desk", "serving": 1}, grpc.StatusCode.PERMISSION_DENIED),
        ("desk-gateway-7d9f8-x7k2p", {"endpoint": "desk", "serving": -1}, grpc.StatusCode.INVALID_ARGUMENT),
        ("somebody", {"endpoint": "desk", "serving": 1}, grpc.StatusCode.UNAUTHENTICATED),
        ("", {"endpoint": "desk", "serving": 1}, grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_only_a_gateway_speaks_for_its_endpoint(
    pod: str, view: dict[str, object], code: grpc.StatusCode
):
    board = GatewayBoard(wake=lambda ref: None)
    async with operator(board) as chief, grpc.aio.insecure_channel(chief.address) as channel:
        views = [gateway_pb2.GatewayView(**view)]
        call = GatewayServiceStub(channel).Follow(iter(views), metadata=(("authorization", f"Bearer {pod}"),))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is code
        assert board.views(DESK) == {}


def test_the_settings_of_the_link_belong_together(tmp_path: Path):
    given = {"LTA_GATEWAY_SERVERS": "a:1", "LTA_GATEWAY_PACK": "p", "LTA_GATEWAY_OPERATOR": "o:1"}
    with pytest.raises(InputError, match="operator, operator_token and endpoint belong together"):
        read_config(given, {})
    whole = {**given, "LTA_GATEWAY_OPERATOR_TOKEN": str(tmp_path), "LTA_GATEWAY_ENDPOINT": "desk"}
    assert isinstance(read_config(whole, {}), GatewayConfig)
