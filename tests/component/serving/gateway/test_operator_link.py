"""A gateway and the operator's server: the operator tells where servers are, the gateway how many it sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from learntoask.client import AsyncClient, user
from learntoask.core.errors import InputError
from learntoask.core.manifest import EndpointSpec
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.core.status.rollout import RolloutFile, RolloutStatus
from learntoask.kube import ENDPOINT
from learntoask.progress.gateways import GatewayView, Servers
from learntoask.progress.server import ProgressServer
from learntoask.progress.tokens import PodIdentity, TokenRefused
from learntoask.rpc.config import ListenConfig
from learntoask.serving.gateway.config import GatewayConfig, read_config
from learntoask.wire import gateway_pb2
from learntoask.wire.gateway_pb2_grpc import GatewayServiceStub
from learntoask_operator.endpoint.findings import Views, ready_by_views
from learntoask_operator.endpoint.gateways import GatewayBoard
from learntoask_operator.endpoint.observe import ObservedServers
from learntoask_operator.loop import Ref
from worlds.cluster.certificates import Authority
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
async def operator(
    board: GatewayBoard, *, port: int = 0, **settings: object
) -> AsyncIterator[ProgressServer]:
    server = ProgressServer(
        ListenConfig(port=port, drain_seconds=0.1, **settings),
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
        board.publish(DESK, Servers(addresses=()), pods=[POD])
        link = {"operator": chief.address, "operator_token": token, "endpoint": "desk"}
        front = await running.enter_async_context(
            gateway(pack, NOWHERE, patience_seconds=0.0, resolve_seconds=3600.0, **link)
        )
        client = await running.enter_async_context(AsyncClient(front.address))
        await until(lambda: board.views(DESK) == {POD: 0})
        assert (await client.decide([user("hi")])).origin == "no_server"
        one = await running.enter_async_context(serving(ScriptedEngine(), drain_seconds=0.2))
        other = await running.enter_async_context(serving(ScriptedEngine(), drain_seconds=0.2))
        board.publish(DESK, Servers(addresses=(one.address, other.address)), pods=[POD])
        await until(lambda: board.views(DESK) == {POD: 2})
        assert woken[-1] == DESK
        assert (await client.decide([user("hi")])).origin == "model"
        await one.drain()
        await until(lambda: board.views(DESK) == {POD: 1})
        board.publish(DESK, Servers(addresses=(other.address,)), pods=[POD])
        await until(lambda: front.backends.serving() == [True])
        assert (await client.decide([user("hi")])).origin == "model"
        board.publish(DESK, Servers(addresses=(other.address,)), pods=[])  # the gateway's pod is gone
        assert board.views(DESK) == {}


async def test_without_an_operator_the_servers_known_go_on_answering_and_the_next_one_is_told_again(
    pack: Path, token: Path
):
    first, second = GatewayBoard(wake=lambda ref: None), GatewayBoard(wake=lambda ref: None)
    async with AsyncExitStack() as running:
        server = await running.enter_async_context(serving(ScriptedEngine()))
        async with operator(first) as chief:
            first.publish(DESK, Servers(addresses=(server.address,)), pods=[POD])
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
            second.publish(DESK, Servers(addresses=(server.address, more.address)), pods=[POD])
            await until(lambda: second.views(DESK) == {POD: 2})


async def test_a_rollout_is_told_at_once_and_what_is_counted_is_told_back(
    pack: Path, token: Path, tmp_path: Path
):
    board = GatewayBoard(wake=lambda ref: None)

    def told(weight: int, *, stage: str = "Steps", ended: str | None = None) -> Servers:
        times = {"started": "2026-01-01T00:00:00Z", "step_started": "2026-01-01T00:00:00Z", "ended": ended}
        state = RolloutStatus.model_validate({"id": "b-2", "stage": stage, "weight": weight, **times})
        strategy = Strategy(mode="canary", observe_within="1s")
        text = RolloutFile(strategy=strategy, state=state).model_dump_json(by_alias=True, exclude_none=True)
        return Servers(addresses=(old.address,), canary=(new.address,), rollout=text)

    async with AsyncExitStack() as running:
        old = await running.enter_async_context(serving(ScriptedEngine(), revision="old"))
        new = await running.enter_async_context(serving(ScriptedEngine(), revision="new"))
        chief = await running.enter_async_context(operator(board))
        board.publish(DESK, told(99), pods=[POD])
        link = {"operator": chief.address, "operator_token": token, "endpoint": "desk"}
        tried = {"canary": (NOWHERE,), "rollout": tmp_path / "rollout.json"}
        front = await running.enter_async_context(gateway(pack, NOWHERE, **link, **tried))
        client = await running.enter_async_context(AsyncClient(front.address))
        await until(lambda: front.ledger.traffic.weight == 99)
        await until(lambda: front.canary_backends.serving() == [True])
        seen = [await client.decide([user("hi")], conversation_id=f"c{number}") for number in range(20)]
        assert "new" in {decision.policy_revision for decision in seen}
        await until(
            lambda: sum(counts.at(99).canary_born for counts in board.counts(DESK, "b-2").values()) > 15,
            seconds=30,
        )
        await until(
            lambda: (
                sum(
                    counts.at(99).canary_ended + counts.at(99).control_ended
                    for counts in board.counts(DESK, "b-2").values()
                )
                == 20
            ),
            seconds=30,
        )
        assert board.counts(DESK, "another") == {}
        board.publish(DESK, told(0, stage="RolledBack", ended="2026-01-01T00:10:00Z"), pods=[POD])
        await until(lambda: front.ledger.traffic.weight == 0)
        assert (await client.decide([user("hi")], conversation_id="later")).policy_revision == "old"
        # A ConfigMap that is mounted late still has the former step.
        (tmp_path / "rollout.json").write_text(told(99).rollout)
        await front._rollout._look()
        assert front.ledger.traffic.weight == 0
        board.publish(DESK, Servers(addresses=(new.address,)), pods=[POD])
        await until(lambda: front.ledger.traffic.rollout == "")


async def test_an_outcome_that_another_gateway_hears_counts_once_where_the_conversation_began(
    pack: Path, tmp_path: Path
):
    board = GatewayBoard(wake=lambda ref: None)
    state = RolloutStatus(
        id="b-2",
        stage="Steps",
        weight=50,
        started="2026-01-01T00:00:00Z",
        step_started="2026-01-01T00:00:00Z",
    )
    rule = {"metric": "outcome", "outcome": {"name": "booked", "labels": ["yes"]}}
    strategy = Strategy.model_validate({"mode": "canary", "guards": [rule]})
    text = RolloutFile(strategy=strategy, state=state).model_dump_json(by_alias=True, exclude_none=True)
    async with AsyncExitStack() as running:
        server = await running.enter_async_context(serving(ScriptedEngine()))
        chief = await running.enter_async_context(operator(board))
        pods = [f"{POD}{number}" for number in range(2)]
        board.publish(
            DESK, Servers(addresses=(server.address,), canary=(server.address,), rollout=text), pods=pods
        )
        fronts = []
        for pod in pods:
            token = tmp_path / pod
            token.write_text(pod)
            link = {"operator": chief.address, "operator_token": token, "endpoint": "desk"}
            tried = {"canary": (NOWHERE,), "rollout": tmp_path / "rollout.json"}
            fronts.append(await running.enter_async_context(gateway(pack, NOWHERE, **link, **tried)))
        first, second = fronts
        await until(lambda: all(front.ledger.traffic.rollout == "b-2" for front in fronts))
        here = await running.enter_async_context(AsyncClient(first.address, attempts=1))
        there = await running.enter_async_context(AsyncClient(second.address, attempts=1))
        born = (await here.decide([user("hi")], conversation_id="c1")).assignment

        def observed() -> int:
            found = [m for front in fronts for w in front.ledger.total().weights for m in w.metrics]
            return sum(m.canary + m.control for m in found if m.metric == "outcome/booked")

        await there.report_outcome("c1", "booked", "yes", assignment=born)
        await until(lambda: observed() == 1)
        await here.report_outcome("c1", "booked", "yes")
        await there.report_outcome("c1", "booked", "yes", assignment=born)
        await there.report_outcome("c2", "booked", "yes", assignment=born)  # told after the repetition
        await until(lambda: board._of(DESK).passed_on == 3)
        await until(lambda: not second._link._outcomes.passed_on)
        assert observed() == 1


@pytest.mark.parametrize(
    ("rollout", "finding"),
    [
        (gateway_pb2.RolloutView(id="", start="s", counts="{}"), "give id and start"),
        (gateway_pb2.RolloutView(id="r", start="s", counts="{"), "are no counts"),
        (gateway_pb2.RolloutView(id="r", start="s", counts="x" * 200_000), "at most 100000 are read"),
    ],
)
async def test_counts_that_cannot_be_so_end_the_stream_with_the_field(
    rollout: gateway_pb2.RolloutView, finding: str
):
    board = GatewayBoard(wake=lambda ref: None)
    async with operator(board) as chief, grpc.aio.insecure_channel(chief.address) as channel:
        call = GatewayServiceStub(channel).Follow(metadata=(("authorization", f"Bearer {POD}"),))
        await call.write(gateway_pb2.GatewayView(endpoint="desk", serving=1, rollout=rollout))
        with pytest.raises(grpc.aio.AioRpcError, match=finding) as failed:
            await call.read()
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert board.counts(DESK, "r") == {}


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


async def test_the_link_is_encrypted_if_the_operator_has_a_certificate_and_another_authority_is_refused(
    pack: Path, token: Path, certificates: Path, tmp_path: Path
):
    board = GatewayBoard(wake=lambda ref: None)
    tls = {"tls_certificate": certificates / "server.pem", "tls_key": certificates / "server.key"}
    async with operator(board, **tls) as chief, serving(ScriptedEngine()) as server:
        board.publish(DESK, Servers(addresses=(server.address,)), pods=[POD])
        link = {"operator": chief.address, "operator_token": token, "endpoint": "desk"}
        async with gateway(pack, NOWHERE, operator_ca=certificates / "ca.pem", **link) as front:
            await until(lambda: board.views(DESK) == {POD: 1})
            assert front.backends.serving() == [True]
        wrong = Authority(tmp_path).identity.certificate
        board.seen(GatewayView(namespace="clinic", endpoint="desk", pod=POD, serving=7))
        async with gateway(pack, NOWHERE, operator_ca=wrong, **link) as front:
            await until(lambda: front._link._failures > 1)
            assert board.views(DESK) == {POD: 7}, "it has told nothing"
            (tmp_path / "new.crt").write_bytes((certificates / "ca.pem").read_bytes())
            (tmp_path / "new.crt").replace(wrong)  # the kubelet brings the right one
            await until(lambda: board.views(DESK) == {POD: 1})


async def test_the_operator_hears_why_a_gateway_sees_no_server(pack: Path, token: Path):
    board = GatewayBoard(wake=lambda ref: None)
    async with operator(board) as chief:
        link = {"operator": chief.address, "operator_token": token, "endpoint": "desk"}
        async with gateway(pack, "127.0.0.1:9", patience_seconds=0.0, **link):
            await until(lambda: board.troubles(DESK).get(POD))
            # What a gateway told goes with its stream.
            views = Views(address="o:1", seen=board.views(DESK), troubles=board.troubles(DESK))
        assert views.troubles[POD].startswith("127.0.0.1:9: UNAVAILABLE: ")
        gateways = ObservedServers(wanted=1, pods=1, ready=1, addresses={POD: "10.0.0.7"})
        spec = EndpointSpec.model_validate({"policy": {"publication": "a" * 64, "policy": "b" * 64}})
        found = ready_by_views(views, gateways, spec, EndpointStatus())
        assert found.reason == "ServersNotSeen"
        assert f"{POD}: sees no policy server (127.0.0.1:9: UNAVAILABLE: " in found.message
        board.publish(DESK, Servers(addresses=()), pods=[POD])
        board.publish(DESK, Servers(addresses=()), pods=[])
        assert board.troubles(DESK) == {}


def test_the_settings_of_the_link_belong_together(tmp_path: Path):
    given = {"LTA_GATEWAY_SERVERS": "a:1", "LTA_GATEWAY_PACK": "p", "LTA_GATEWAY_OPERATOR": "o:1"}
    with pytest.raises(InputError, match="operator, operator_token and endpoint belong together"):
        read_config(given, {})
    whole = {**given, "LTA_GATEWAY_OPERATOR_TOKEN": str(tmp_path), "LTA_GATEWAY_ENDPOINT": "desk"}
    assert isinstance(read_config(whole, {}), GatewayConfig)
