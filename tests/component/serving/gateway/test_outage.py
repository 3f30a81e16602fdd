"""Three policy servers in separate processes, killed and started under load: no request may fail."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest
import torch
from learntoask.client import AsyncClient, Decision, user
from worlds.gateway import address_of, gateway, policy_process, samples, write_pack
from worlds.serving_policy import save_policy
from worlds.waiting import until

CLIENTS = 6


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("policy")
    save_policy(folder / "model")
    return folder / "model", write_pack(folder)


class Load:
    """Clients that hold one conversation after another and count every request."""

    def __init__(self, address: str) -> None:
        self.answers: list[Decision] = []
        self.failures: list[str] = []
        self._address = address
        self._stop = False

    async def run(self) -> None:
        async with AsyncClient(self._address, attempts=1, timeout=60) as client:
            await asyncio.gather(*(self._talk(client, number) for number in range(CLIENTS)))

    def stop(self) -> None:
        self._stop = True

    async def _talk(self, client: AsyncClient, number: int) -> None:
        for held in count(1):
            if self._stop:
                return
            await self._conversation(client, f"{number}-{held}", stream=bool(held % 2))

    async def _conversation(self, client: AsyncClient, name: str, *, stream: bool) -> None:
        try:
            if stream:
                async with client.converse(conversation_id=name) as conversation:
                    for turn in ("it hurts", "since monday"):
                        self.answers.append(await conversation.say(turn))
            else:
                self.answers.append(await client.decide([user("it hurts")], conversation_id=name))
        except Exception as error:
            self.failures.append(f"{name}: {error}")


@pytest.mark.timeout(600)
async def test_no_ask_fails_when_one_of_three_servers_is_killed_and_a_new_one_joins(
    policy: tuple[Path, Path],
):
    model, pack = policy
    async with AsyncExitStack() as running:
        processes = [running.enter_context(policy_process(model, pack)) for _ in range(3)]
        addresses = [await address_of(process) for process in processes]
        front = await running.enter_async_context(
            gateway(pack, *addresses, deadline_seconds=60, attempt_seconds=30)
        )
        await until(lambda: front.backends.serving() == [True] * 3)
        load = Load(front.address)
        asking = asyncio.create_task(load.run())
        await until(lambda: len(load.answers) >= 15, seconds=100)
        dying = front.backends.choose("any", set(addresses[1:]))  # the only server left, even if it is busy
        os.kill(processes[0].pid, signal.SIGSTOP)
        await until(
            lambda: dying.state.in_flight >= CLIENTS // 2, seconds=100
        )  # the dying server will not answer these
        os.kill(processes[0].pid, signal.SIGKILL)
        before = len(load.answers)
        await until(lambda: len(load.answers) >= before + 30, seconds=100)
        assert sorted(front.backends.serving()) == [False, True, True]
        port = addresses[0].rpartition(":")[2]
        joining = running.enter_context(policy_process(model, pack, port=port))
        assert await address_of(joining) == addresses[0]
        await until(lambda: front.backends.serving() == [True] * 3)

        def answered() -> float:  # empty if the first server died before its first answer
            return samples(front, "lta_gateway_attempts_total").get((addresses[0], "OK"), 0)

        before_it_joined = answered()
        await until(lambda: answered() >= before_it_joined + 10, seconds=100)
        load.stop()
        await asking
        assert load.failures == []
        assert "no_server" not in Counter(answer.origin for answer in load.answers)
        assert samples(front, "lta_gateway_retries_total")[()] >= 1  # requests at the server that died
        for process in (*processes[1:], joining):
            os.kill(process.pid, signal.SIGKILL)
        async with AsyncClient(front.address, attempts=1) as client:
            assert (await client.decide([user("it hurts")])).origin == "no_server"
