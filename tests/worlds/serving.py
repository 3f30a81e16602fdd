"""A policy server in this process with a scripted engine, for tests of everything around the model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import STOP
from learntoask.serving.config import ServeConfig
from learntoask.serving.engines.protocol import Draft, TokenUsage
from learntoask.serving.server import PolicyServer, ServedPolicy
from learntoask.wire import ask_pb2 as wire
from learntoask.wire.ask_pb2_grpc import AskServiceStub

PACK = Pack.model_validate(
    {
        "name": "pharmacy",
        "fallback": "Could you tell me more?",
        "endMarkers": ["<end>"],
        "tasks": [
            {"name": "default", "goal": "Advise.", "fields": [{"name": "duration"}]},
            {"name": "refill", "fields": [{"name": "medicine"}]},
        ],
    }
)


class ScriptedEngine:
    """An Engine whose answer depends on the user's last message.

    `wait` waits for `release`, `crash` fails, `bye` stops, `two` asks two questions, `mumble` gives no question,
    `unreadable` is refused; for any other message it asks a question about the message.
    """

    stop_tokens = (1_000_000,)

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.release = asyncio.Event()
        self.running = 0
        self.cancelled = 0
        self.closed = False

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        self.contexts.append(context)
        self.running += 1
        try:
            return await self._answer(context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _answer(self, context: Context) -> Draft:
        said = context.messages[-1].content
        match said:
            case "crash":
                raise RuntimeError("a fault with secret words")
            case "unreadable":
                raise InputError("the system prompt alone fills the policy's bound")
            case "wait":
                await self.release.wait()
        texts = {
            "bye": STOP,
            "two": "Since when? And how often do you take it?",
            "mumble": "Sorry sorry.",
        }
        return Draft(
            texts.get(said, f"What else about {said}?"), -0.5, TokenUsage(10 * len(context.messages), 5, 7)
        )

    def cache_bytes(self) -> int:
        return 12345

    async def close(self) -> None:
        self.closed = True


def policy_server(
    engine: ScriptedEngine, *, revision: str = "r1", pack: Pack = PACK, **settings: object
) -> PolicyServer:
    config = ServeConfig(**{"model": Path(), "pack": Path(), "port": 0, "drain_seconds": 5.0} | settings)
    return PolicyServer(config, ServedPolicy(engine=engine, pack=pack, revision=revision, shape=""))


@asynccontextmanager
async def serving(
    engine: ScriptedEngine, *, revision: str = "r1", pack: Pack = PACK, **settings: object
) -> AsyncIterator[PolicyServer]:
    server = policy_server(engine, revision=revision, pack=pack, **settings)
    await server.start()
    try:
        yield server
    finally:
        engine.release.set()
        await server.drain()


@asynccontextmanager
async def stub_of(server: PolicyServer) -> AsyncIterator[AskServiceStub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield AskServiceStub(channel)


def request(*said: str, **fields: object) -> wire.DecideRequest:
    """Make a request whose messages alternate between user and assistant and end with the user's."""
    first = (len(said) + 1) % 2
    roles = [
        wire.ROLE_USER if (index + first) % 2 == 0 else wire.ROLE_ASSISTANT for index in range(len(said))
    ]
    messages = [wire.Message(role=role, content=text) for role, text in zip(roles, said, strict=True)]
    return wire.DecideRequest(messages=messages, **fields)


def recorded(folder: Path) -> list[dict]:
    """Read the records written so far."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def samples(server: PolicyServer, name: str) -> Mapping[tuple[str, ...], float]:
    """Return the samples of a metric by their label values."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in server.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }
