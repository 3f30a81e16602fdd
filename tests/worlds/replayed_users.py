"""Users who say what those of logged conversations said, in one conversation after the other."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

from learntoask.client import AsyncClient, CallFailed, assistant, user
from learntoask.client.wire import to_wire_assignment

_TOGETHER = 8  # conversations at once
_MOST_TURNS = 6
_LONGEST = 4000  # characters; the example logs have a message that no server reads


@dataclass
class Replayed:
    """What users met: ended conversations, asks, asks that failed, the first policy of each conversation, and which
    conversations changed their policy, without a mark (`switched`) and with one (`moved`)."""

    ended: int = 0
    asks: int = 0
    failures: list[str] = field(default_factory=list)
    first_policies: list[str] = field(default_factory=list)
    switched: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


class ReplayedUsers:
    """Users in a thread, from `with` on. They ask at most `per_second` times, at the gateways at `addresses`."""

    def __init__(self, logs: Path, addresses: Sequence[str], *, per_second: float) -> None:
        self._said = _said(logs)
        self._addresses, self._pause = addresses, 1 / per_second
        self._numbers = itertools.count()
        self._over = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._ask_all()), name="users", daemon=True)
        self.seen = Replayed()

    def __enter__(self) -> ReplayedUsers:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    async def _ask_all(self) -> None:
        self._next_ask = asyncio.get_running_loop().time()
        await asyncio.gather(*(self._talk_on(first) for first in range(_TOGETHER)))

    async def _talk_on(self, first: int) -> None:
        """Hold conversations, at the gateway with the number `first` unless it does not answer."""
        turn = first % len(self._addresses)
        async with AsyncClient([*self._addresses[turn:], *self._addresses[:turn]]) as client:
            while not self._over.is_set():
                number = next(self._numbers)
                await self._talk(client, f"user-{number}", self._said[number % len(self._said)])

    async def _talk(self, client: AsyncClient, name: str, said: Sequence[str]) -> None:
        messages, policies, moved = [], [], False
        for text in said:
            messages.append(user(text))
            await self._wait_for_turn()
            self.seen.asks += 1
            try:
                decision = await client.decide(messages, conversation_id=name)
            except CallFailed as error:
                self.seen.failures.append(f"{name}: {error}")
                break
            if decision.origin == "no_server":
                self.seen.failures.append(f"{name}: no server")
            policies.append(decision.policy_revision)
            assignment = to_wire_assignment(decision.assignment)
            moved = moved or (assignment is not None and assignment.moved)
            if decision.question is None:
                break
            messages.append(assistant(decision.question))
        self.seen.first_policies += policies[:1]
        if len(set(policies)) > 1:
            (self.seen.moved if moved else self.seen.switched).append(f"{name}: {', '.join(policies)}")
        self.seen.ended += 1

    async def _wait_for_turn(self) -> None:
        """Ask no more often than allowed; on a slow machine less often."""
        loop = asyncio.get_running_loop()
        self._next_ask = max(loop.time(), self._next_ask + self._pause)
        await asyncio.sleep(self._next_ask - loop.time())


def _said(logs: Path) -> list[list[str]]:
    """What the user says in each session of a log file; other lines are left out."""
    found = []
    for line in logs.read_bytes().splitlines():
        try:
            messages = json.loads(line)["messages"]
            said = [one["content"].strip() for one in messages if one["role"] == "user"]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if all(len(text) <= _LONGEST for text in said):
            found.append([text for text in said if text][:_MOST_TURNS])
    return [said for said in found if said]
