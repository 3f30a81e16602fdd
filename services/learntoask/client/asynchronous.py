"""The asynchronous client: one deadline over all attempts, and the next address after a server that is gone."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import grpc

from learntoask.client.assignments import Assignments
from learntoask.client.channel_pool import ChannelPool
from learntoask.client.types import Assignment, CallFailed, Decision, ServerInfo, user
from learntoask.client.wire import decision_from, failure, info_from, sendable, to_wire, to_wire_assignment
from learntoask.core.backoff import Backoff
from learntoask.core.errors import InputError
from learntoask.core.records import Message
from learntoask.rpc import tracing
from learntoask.rpc.channels import GONE, Tls
from learntoask.wire import ask_pb2 as wire

Result = TypeVar("Result")
_DECIDE = f"{wire.DESCRIPTOR.services_by_name['AskService'].full_name}/Decide"
_BACKOFF = Backoff(first=0.1, longest=3.0)
_LONGEST = 365 * 86_400.0  # seconds; gRPC ends calls with a greater deadline, or an infinite one, at once


class AsyncClient:
    """Client of one or more policy servers; use it with `async with`.

    `timeout` in seconds bounds all attempts at one answer together (infinity: a year), `attempts` their number.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        token: str | None = None,
        tls: Tls | None = None,
        timeout: float = 30.0,
        attempts: int = 4,
    ) -> None:
        self._pool = ChannelPool(addresses, token=token, tls=tls)
        self._assignments = Assignments()
        self._timeout = timeout
        self._attempts = max(attempts, len(self._pool.addresses))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all channels."""
        await self._pool.close()

    async def decide(
        self,
        messages: Sequence[Message],
        *,
        task: str = "",
        goal: str = "",
        conversation_id: str = "",
        caller_id: str = "",
        assignment: Assignment | None = None,
        timeout: float | None = None,
    ) -> Decision:
        """Decide what to do next in a conversation whose last message is the user's. Raises CallFailed.

        With a `conversation_id` a conversation stays with its policy while a gateway tries another one. The client
        remembers the `assignment` of its last decision; pass it only if another client made that. `caller_id` names the
        user in all of their conversations, which a gateway needs that assigns callers.
        """
        known = assignment or self._assignments.of(conversation_id)
        request = wire.DecideRequest(
            messages=to_wire(messages),
            task=sendable(task, "task"),
            goal=sendable(goal, "goal"),
            conversation_id=sendable(conversation_id, "conversation_id"),
            caller_id=sendable(caller_id, "caller_id"),
            assignment=to_wire_assignment(known),
        )

        async def attempt(seconds: float) -> Decision:
            with tracing.calling_from_application(_DECIDE) as headers:
                metadata = (*self._pool.metadata, *headers)
                response = await self._pool.stub().Decide(request, timeout=seconds, metadata=metadata)
            return decision_from(response.decision)

        decision = await self.retry(attempt, timeout=timeout)
        self._assignments.note(conversation_id, decision.assignment)
        return decision

    async def report_outcome(
        self,
        conversation_id: str,
        name: str,
        value: str | float,
        *,
        assignment: Assignment | None = None,
        timeout: float | None = None,
    ) -> None:
        """Report what came of a conversation: a label such as "yes", or a number. Repeating a report changes nothing.

        Pass the `assignment` of its last decision if another client made that. Raises CallFailed.
        """
        known = assignment or self._assignments.of(conversation_id)
        request = wire.ReportOutcomeRequest(
            conversation_id=sendable(conversation_id, "conversation_id"),
            name=sendable(name, "name"),
            assignment=to_wire_assignment(known),
        )
        if isinstance(value, str):
            request.label = sendable(value, "value")
        else:
            request.number = value

        async def attempt(seconds: float) -> None:
            await self._pool.stub().ReportOutcome(request, timeout=seconds, metadata=self._pool.metadata)

        await self.retry(attempt, timeout=timeout)

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Ask which policy and pack the server serves. Raises CallFailed."""

        async def attempt(seconds: float) -> ServerInfo:
            request = wire.GetServerInfoRequest()
            stub = self._pool.stub()
            return info_from(await stub.GetServerInfo(request, timeout=seconds, metadata=self._pool.metadata))

        return await self.retry(attempt, timeout=timeout)

    def converse(
        self,
        *,
        task: str = "",
        goal: str = "",
        conversation_id: str = "",
        caller_id: str = "",
        history: Sequence[Message] = (),
    ) -> AsyncConversation:
        """Return a conversation held by one stream; use it with `async with`.

        `history` is empty or ends with a message of the assistant. See `decide` for `caller_id`.
        """
        opening = wire.ConverseRequest.Open(
            task=sendable(task, "task"),
            goal=sendable(goal, "goal"),
            conversation_id=sendable(conversation_id, "conversation_id"),
            caller_id=sendable(caller_id, "caller_id"),
        )
        return AsyncConversation(self, opening, history)

    def open_stream(self) -> Any:
        """Open a Converse stream at the current address."""
        headers = tracing.headers_of_application()
        return self._pool.stub().Converse(metadata=(*self._pool.metadata, *headers))

    async def retry(
        self, attempt: Callable[[float], Awaitable[Result]], *, timeout: float | None = None
    ) -> Result:
        """Call `attempt(seconds left)` at one address after the other until one is available. Raises CallFailed."""
        loop = asyncio.get_running_loop()
        bound = min(self._timeout if timeout is None else timeout, _LONGEST)
        if math.isnan(bound):
            raise InputError("timeout: give a number of seconds, not NaN")
        end = loop.time() + bound
        for number in range(1, self._attempts + 1):
            left = end - loop.time()
            try:
                async with asyncio.timeout(left):
                    return await attempt(left)
            except TimeoutError:
                raise CallFailed("DEADLINE_EXCEEDED", f"no answer within {bound:g} s") from None
            except grpc.aio.AioRpcError as error:
                pause = self._pause(number)
                if error.code() not in GONE or number == self._attempts:
                    raise failure(error) from error
                if loop.time() + pause >= end:
                    raise failure(error) from error
                self._pool.move_on()
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, number: int) -> float:
        """Return the seconds before the next attempt: 0 until each address was tried, then growing, with jitter."""
        rounds = number // len(self._pool.addresses)
        return _BACKOFF.delay(rounds, draw=random.random()) if rounds else 0.0


class AsyncConversation:
    """A conversation with a policy. `messages` is all of it so far, as it would be replayed at another server."""

    def __init__(
        self, client: AsyncClient, opening: wire.ConverseRequest.Open, history: Sequence[Message]
    ) -> None:
        self.messages: list[Message] = list(history)
        self._client = client
        self._opening = opening
        self._stream: Any = None

    async def __aenter__(self) -> AsyncConversation:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if kind is not None:
            stream.cancel()
            return
        try:
            await stream.done_writing()
            await stream.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the server closed the stream first; every answer has arrived

    async def say(self, content: str, *, timeout: float | None = None) -> Decision:
        """Return the answer to the user's next message.

        Raises CallFailed; the message is then not added to `messages`.
        """
        message = user(sendable(content, "content"))

        async def attempt(_seconds: float) -> Decision:
            try:
                decision = decision_from((await self._exchange(message)).decision)
            except BaseException:
                if self._stream is not None:
                    self._stream.cancel()
                    self._stream = None
                raise
            assignment = to_wire_assignment(decision.assignment)
            if assignment is not None:  # for another gateway, should this one go away
                self._opening.assignment.CopyFrom(assignment)
            return decision

        decision = await self._client.retry(attempt, timeout=timeout)
        self.messages += [message, decision.message]
        return decision

    async def _exchange(self, message: Message) -> wire.ConverseResponse:
        if self._stream is None:
            self._stream = self._client.open_stream()
            opening = wire.ConverseRequest.Open()
            opening.CopyFrom(self._opening)
            opening.history.extend(to_wire([*self.messages, message]))
            request = wire.ConverseRequest(open=opening)
        else:
            request = wire.ConverseRequest(user_message=message.content)
        await self._write(request)
        response: wire.ConverseResponse = await self._stream.read()
        if response is grpc.aio.EOF:
            raise _stream_closed("the server closed the stream without an answer")
        return response

    async def _write(self, request: wire.ConverseRequest) -> None:
        try:
            await self._stream.write(request)
        except asyncio.InvalidStateError:
            return  # the server closed the stream; reading tells why
        except grpc.aio.AioRpcError as error:
            if error.details() != _CLOSED_IN_WRITING:
                raise
            raise _stream_closed("the server closed the stream while it was written to") from error


_CLOSED_IN_WRITING = "Internal error from Core"  # gRPC replaces the server's status by this


def _stream_closed(details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details
    )
