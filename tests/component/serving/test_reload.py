"""A running server loads another policy: no call is lost, and every answer names its policy."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch
from learntoask.client import AsyncClient, Decision, user
from learntoask.core.errors import InputError
from learntoask.serving.config import ServeConfig
from learntoask.serving.process import make_server
from learntoask.serving.server import PolicyServer, policy_revision
from worlds.serving import PACK
from worlds.serving_policy import load_policy, save_policy


@pytest.fixture
def configs(tmp_path: Path) -> tuple[ServeConfig, ServeConfig]:
    """Two policies that answer differently."""
    torch.set_num_threads(1)
    pack = tmp_path / "pack.json"
    pack.write_text(PACK.model_dump_json(by_alias=True))
    first, second = tmp_path / "first", tmp_path / "second"
    save_policy(first)
    shutil.copytree(first, second)
    policy = load_policy(first)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.mul_(1.3)
    policy.model.save_pretrained(second)
    return tuple(
        ServeConfig(model=model, pack=pack, port=0, max_new_tokens=8, deadline_seconds=60, threads=1)
        for model in (first, second)
    )


@asynccontextmanager
async def serving(config: ServeConfig) -> AsyncIterator[PolicyServer]:
    server = await make_server(config)
    await server.start()
    try:
        yield server
    finally:
        await server.drain()


async def test_no_call_is_lost_and_every_answer_names_its_policy(
    configs: tuple[ServeConfig, ServeConfig],
) -> None:
    first, second = (policy_revision(config.model) for config in configs)
    answers: list[Decision] = []
    changed = asyncio.Event()

    async def ask(address: str) -> None:
        async with AsyncClient(address, attempts=1, timeout=60) as client:
            while not changed.is_set():
                answers.append(await client.decide([user("it hurts")]))
            answers.append(await client.decide([user("it hurts")]))

    async with serving(configs[0]) as server:
        asking = [asyncio.create_task(ask(server.address)) for _ in range(4)]
        while len(answers) < 8:
            await asyncio.sleep(0.01)
        await server.reload(configs[1])
        changed.set()
        await asyncio.gather(*asking)
        async with AsyncClient(server.address, timeout=60) as client:
            assert (await client.server_info()).policy_revision == second
    said = {
        revision: {
            round(math.log10(one.stop_probability or 1e-300), 1)
            for one in answers
            if one.policy_revision == revision
        }
        for revision in (first, second)
    }
    assert len(said[first]) == len(said[second]) == 1
    assert said[first] != said[second]
    assert {one.policy_revision for one in answers[-4:]} == {second}


async def test_what_needs_a_server_of_its_own_is_refused_and_the_old_policy_stays(
    configs: tuple[ServeConfig, ServeConfig], tmp_path: Path
) -> None:
    wider = tmp_path / "wider"
    save_policy(wider, hidden_size=64)
    pack = tmp_path / "other.json"
    pack.write_text(json.dumps(PACK.model_dump(mode="json", by_alias=True) | {"fallback": "Go on?"}))
    async with serving(configs[0]) as server, AsyncClient(server.address, timeout=60) as client:
        for change, why in (
            ({"model": wider}, "architecture"),
            ({"pack": pack}, "another pack"),
            ({"model": tmp_path / "absent"}, "absent"),
            ({"model": configs[1].model, "stop_threshold": 0.3}, "stops at probability 0.3"),
            ({"model": configs[1].model, "assessment": "fields"}, "trained with assessment fields"),
        ):
            with pytest.raises(InputError, match=why):
                await server.reload(
                    ServeConfig(**{"port": 0, "model": wider, "pack": configs[0].pack} | change)
                )
        decision = await client.decide([user("it hurts")])
    assert decision.policy_revision == policy_revision(configs[0].model)
