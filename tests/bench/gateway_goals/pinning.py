"""Goals 4 and 6: conversations keep their policy over steps, a restart and a killed server, and a rollback is followed.

Two gateways follow the file of a rollout, as they follow a mounted ConfigMap. Callers send the assignment back.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from calibration_goals.rows import Row
from learntoask.client import AsyncClient, assistant, user
from learntoask.client.wire import to_wire_assignment
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.conditions import timestamp
from learntoask.core.status.rollout import RolloutFile, RolloutStatus
from learntoask.serving.rollout.file import write
from learntoask.wire import ask_pb2 as wire

from gateway_goals.processes import Processes, Running, started

_STEPS = (10, 50, 90)
_TURNS = 4
_TOGETHER = 64  # conversations at once
_FOLLOWED_SECONDS = 2.5  # a gateway looks at its file every second


@dataclass
class _Seen:
    """What callers saw: conversations that changed their policy, marked ones, failures, births by weight and arm."""

    switched: int = 0
    marked: int = 0
    failed: int = 0
    born: Counter[tuple[int, wire.Arm]] = field(default_factory=Counter)


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure goal 4, then goal 6."""
    number = 1_000 if quick else 10_000
    with started() as processes:
        seen, rollback = uvloop.run(_Measurement(processes, number).run())
    yield Row(
        4,
        f"{number} conversations",
        "changed their policy, but for those that are marked",
        f"{seen.switched} ({seen.marked} marked, {seen.failed} failed)",
        "0",
        seen.switched == 0,
    )
    for weight in _STEPS:
        canary = seen.born[weight, wire.ARM_CANARY]
        all_born = canary + seen.born[weight, wire.ARM_CONTROL]
        share = canary / all_born
        allowed = 0.05 if quick else 0.01  # fewer conversations differ more by chance
        yield Row(
            4,
            f"{number} conversations",
            f"share of the canary at {weight} %",
            f"{share:.1%} of {all_born}",
            f"± {allowed:.0%}",
            abs(share - weight / 100) <= allowed,
        )
    yield Row(
        6,
        "two gateways, file",
        "from the rollback to the last new conversation of the canary",
        f"{rollback:.1f} s",
        "≤ 5 s",
        rollback <= 5.0,
    )


class _Measurement:
    def __init__(self, processes: Processes, number: int) -> None:
        self._processes, self._number = processes, number
        self._file = processes.folder / "rollout.json"
        self._seen = _Seen()
        self._old = [processes.policy("old") for _ in range(2)]
        self._new = [processes.policy("new") for _ in range(2)]
        self._weight = 0

    async def run(self) -> tuple[_Seen, float]:
        """Return what was seen, and the seconds until a rollback was followed."""
        self._tell(_STEPS[0], step=0)
        gateways = [self._gateway() for _ in range(2)]
        addresses = [gateway.address for gateway in gateways]
        waiting = iter(range(self._number))
        async with AsyncClient(addresses, attempts=4) as client:
            for step, weight in enumerate(_STEPS):
                self._tell(weight, step=step)
                await asyncio.sleep(_FOLLOWED_SECONDS)
                self._weight = weight
                share = [next(waiting) for _ in range(self._number // len(_STEPS))]
                talks = asyncio.gather(*(self._talks(client, share[n::_TOGETHER]) for n in range(_TOGETHER)))
                if step == 1:  # in the middle of conversations
                    await asyncio.sleep(1.0)
                    self._new[0].kill()
                if step == 2:
                    await asyncio.sleep(1.0)
                    gateways[0].kill()
                await talks
        async with AsyncClient(gateways[1].address, attempts=1) as client:
            return self._seen, await self._rollback(client)

    def _gateway(self) -> Running:
        old, new = ([server.address for server in servers] for servers in (self._old, self._new))
        return self._processes.gateway(*old, canary=tuple(new), rollout=Path(self._file))

    def _tell(self, weight: int, *, step: int) -> None:
        strategy = Strategy.model_validate(
            {"mode": "canary", "steps": [{"weight": weight} for weight in _STEPS]}
        )
        over = weight == 0
        now = timestamp(time.time())
        state = RolloutStatus(
            id="bench",
            stable="old",
            canary="new",
            stage="RolledBack" if over else "Steps",
            step=step,
            weight=weight,
            started="2026-01-01T00:00:00Z",
            step_started=now,
            ended=now if over else None,
        )
        write(self._file, RolloutFile(strategy=strategy, state=state))

    async def _talks(self, client: AsyncClient, numbers: list[int]) -> None:
        for number in numbers:
            await self._talk(client, f"c{number}")

    async def _talk(self, client: AsyncClient, name: str) -> None:
        messages, policies, marked = [user("It hurts.")], set(), False
        for turn in range(_TURNS):
            decision = await client.decide(messages, task="default", conversation_id=name, timeout=30)
            assignment = to_wire_assignment(decision.assignment)
            assert assignment is not None
            self._seen.failed += decision.origin == "no_server"
            marked = marked or assignment.moved or assignment.adopted
            if turn == 0:
                self._seen.born[self._weight, assignment.arm] += 1
            policies.add(decision.policy_revision)
            messages = [*messages, assistant(decision.question or "-"), user(f"Since day {turn}.")]
        self._seen.marked += marked
        self._seen.switched += len(policies) > 1 and not marked

    async def _rollback(self, client: AsyncClient) -> float:
        """Return the seconds from a rollback to the last new conversation of the canary."""
        self._tell(0, step=len(_STEPS))
        start = last = time.monotonic()
        for number in range(1_000_000):
            decision = await client.decide([user("It hurts.")], conversation_id=f"late{number}")
            if decision.policy_revision == "new":
                last = time.monotonic()
            elif time.monotonic() > last + 3.0:
                break
            await asyncio.sleep(0.005)
        return last - start
