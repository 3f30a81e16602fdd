"""A fake server with the OpenAI API on loopback. A script decides each response, including all kinds of failures."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, Message, Session
from learntoask.labeling.labellers.exchanges import FieldPatterns, read_exchanges
from learntoask.labeling.logs.patterns import any_of

LINE = re.compile(r"^\[(\d+)\] ([^:]*): (.*)$")
SPAN = re.compile(r"^Look (?:only )?at messages (\d+) to \d+:")
ACT_IN = re.compile(r'"act" is about messages? (\d+)(?: to (\d+))? only')


@dataclass(frozen=True)
class ReceivedRequest:
    """A request. `number` counts all requests from 0, `attempt` the earlier requests with the same body."""

    body: dict[str, Any]
    headers: dict[str, str]
    number: int
    attempt: int

    @property
    def question(self) -> str:
        return self.body["messages"][1]["content"]

    @property
    def refused(self) -> str | None:
        """The prompt for a corrected answer, if there is one."""
        return self.body["messages"][-1]["content"] if len(self.body["messages"]) > 2 else None


@dataclass(frozen=True)
class Status:
    """A response with any status and body."""

    code: int
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    content: str | None
    finish: str = "stop"
    refusal: str | None = None
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 60},
        }
    )

    def body(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.content, "refusal": self.refusal}
        choice = {"index": 0, "finish_reason": self.finish, "message": message}
        return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": self.usage}


HANG, RESET, DRIP = "hang", "reset", "drip"
"""Never answer; reset the connection; send one byte at a time without end."""

Outcome = Status | Reply | str
Script = Callable[[ReceivedRequest], Outcome]


class LlmServer:
    """A server in a thread. `requests` are all requests, and `answered` the bodies that get a complete reply."""

    def __init__(self, script: Script, *, latency: float = 0.0) -> None:
        self.script = script
        self.latency = latency
        self.requests: list[ReceivedRequest] = []
        self.answered: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self._seen: dict[bytes, int] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> LlmServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        async def start() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)

        server = self._loop.run_until_complete(start())
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers["content-length"]))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    open_still = await self._respond(head[0], headers, body, writer)
                finally:
                    self.at_once -= 1
                if not open_still:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _respond(
        self, line: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        if line.split()[1] != "/v1/chat/completions":
            await _send(writer, Status(404, {"error": {"message": f"no such page: {line}"}}))
            return True
        asked = ReceivedRequest(json.loads(body), headers, len(self.requests), self._seen.get(body, 0))
        self._seen[body] = asked.attempt + 1
        self.requests.append(asked)
        outcome = self.script(asked)
        if self.latency:
            await asyncio.sleep(self.latency)
        if outcome == RESET:
            writer.transport.abort()
            return False
        if outcome == HANG:
            await asyncio.sleep(3600)
        if outcome == DRIP:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
            while True:
                writer.write(b"{")
                await writer.drain()
                await asyncio.sleep(0.2)
        if isinstance(outcome, Reply):
            self.answered.append(body)  # first, because the client may be done before this thread goes on
        await _send(writer, outcome if isinstance(outcome, Status) else Status(200, outcome.body()))
        return True


async def _send(writer: asyncio.StreamWriter, status: Status) -> None:
    body = status.body if isinstance(status.body, bytes) else json.dumps(status.body).encode()
    lines = [f"HTTP/1.1 {status.code} X", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in status.headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()


class LexiconModel:
    """A script that answers like a perfect model: with what the labeller `lexicon` finds in the messages of the
    request.

    `acts` is a regular expression of messages in which the expert acts.
    """

    def __init__(self, pack: Pack, *, task: str, acts: str = r"(?!)") -> None:
        self._fields = tuple(FieldPatterns.of(field) for field in pack.task(task).fields)
        self._non_answer = any_of(pack.non_answers)
        self._user = pack.roles.user
        self._acts = re.compile(acts)

    def __call__(self, asked: ReceivedRequest) -> Reply:
        return Reply(json.dumps(self.extraction(asked), ensure_ascii=False))

    def extraction(self, asked: ReceivedRequest) -> dict[str, Any]:
        *lines, _, question = asked.question.split("\n")
        messages = self._messages(lines)
        span = SPAN.match(question)
        assert span is not None, question
        found: dict[str, Any] = {"items": self._items(messages, int(span.group(1)))}
        if "act" in json.dumps(asked.body["response_format"]):
            found["act"] = self._act(messages, question)
        return found

    def _messages(self, lines: list[str]) -> list[Message]:
        messages = []
        for number, line in enumerate(lines):
            match = LINE.match(line)
            assert match is not None, line
            assert int(match.group(1)) == number
            role = "user" if match.group(2) == self._user else "assistant"
            text = match.group(3).replace("(no words)", "")
            author = "user" if role == "user" else "policy" if "program" in match.group(2) else "expert"
            messages.append(Message(role=role, content=text, author=author))
        return messages

    def _items(self, messages: list[Message], start: int) -> list[dict[str, Any]]:
        session = Session(
            session_id="s",
            split="train",
            task="t",
            messages=tuple(messages),
            turns=(),
            end=EndReason.COMPLETED,
            stop_turn=None,
        )
        items = []
        for exchange in read_exchanges(session.messages, self._fields, self._non_answer).found:
            if exchange.asked >= start:
                quote = None if exchange.answered is None else messages[exchange.answered].content
                items.append(
                    {
                        "field": exchange.field,
                        "asked": exchange.asked,
                        "quote": quote,
                        "value": exchange.value,
                    }
                )
        return items

    def _act(self, messages: list[Message], question: str) -> dict[str, Any] | None:
        within = ACT_IN.search(question)
        first = int(within.group(1)) if within else 0
        last = int(within.group(2) or first) if within else len(messages) - 1
        for index in range(first, last + 1):
            match = self._acts.search(messages[index].content)
            if match and messages[index].role == "assistant":
                return {"message": index, "quote": match.group()}
        return None
