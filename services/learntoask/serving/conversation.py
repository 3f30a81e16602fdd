"""AskService as policy server and gateway share it: registration, the Converse stream, and draining.

The server that a stream was opened at holds its conversation. Each user message leads to one decision on all of it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Protocol

import grpc

from learntoask.rpc.calls import Call, Draining, Overloaded
from learntoask.rpc.requests import Unparsable, check_id, require_parsed, tolerant_parser
from learntoask.serving.metrics import ConversationMetrics
from learntoask.serving.wire import opening as read_opening
from learntoask.wire import ask_pb2 as wire

SERVICE = ConversationMetrics.service


class OpenConversation(Protocol):
    """The messages of one stream, and how the next one is answered."""

    @property
    def unanswered(self) -> bool:
        """Whether the last message is the user's."""

    def add(self, event: wire.ConverseRequest) -> None:
        """Append the user's next message. Raises InvalidRequest."""

    async def answer(self, context: grpc.aio.ServicerContext, call: Call) -> wire.Decision:
        """Decide on the conversation and append the answer."""


class ConversationRecords(Protocol):
    """Records of conversations, told when one is over."""

    def end(self, conversation: str, /) -> None:
        """Write the record of `conversation`."""


class ConversationService(ABC):
    """Base of both implementations of AskService. Construct it inside the event loop that runs it."""

    def __init__(
        self, *, max_conversations: int, metrics: ConversationMetrics, records: ConversationRecords | None
    ) -> None:
        self._max_conversations = max_conversations
        self._call_metrics = metrics
        self._ended_records = records
        self._conversations = 0
        self._drain_begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """The number of decisions that run or wait."""

    @abstractmethod
    async def decide(
        self, request: wire.DecideRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.DecideResponse: ...

    @abstractmethod
    async def server_info(
        self, request: wire.GetServerInfoRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.GetServerInfoResponse: ...

    @abstractmethod
    def open_conversation(self, opening: wire.ConverseRequest.Open, *, conversation: str) -> OpenConversation:
        """Begin the conversation of a stream with its history. Raises InvalidRequest."""

    def drain(self) -> None:
        """Refuse new conversations. Open ones finish their current answer and close with UNAVAILABLE."""
        if not self.draining:
            self._drain_begun.set_result(None)

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._drain_begun.done()

    @property
    def busy(self) -> bool:
        """Whether a decision runs or a conversation is open."""
        return self.in_flight > 0 or self._conversations > 0

    async def converse(self, requests: object, context: grpc.aio.ServicerContext) -> None:
        """Answer each user message of a stream until the caller closes it or the server drains."""
        async with Call("Converse", context, self._call_metrics) as stream:
            if self._conversations >= self._max_conversations:
                raise Overloaded(f"{self._conversations} conversations are open")
            self._conversations += 1
            self._call_metrics.conversations.inc()
            name = stream.request_id
            try:
                event = await self._next_event(context)
                if event is None:
                    return
                opening = read_opening(event)
                check_id("open.conversation_id", opening.conversation_id)
                name = opening.conversation_id or name
                stream.fields["conversation_id"] = name
                conversation = self.open_conversation(opening, conversation=name)
                stream.fields["answers"] = await self._answer_all(conversation, context, stream)
            finally:
                self._conversations -= 1
                self._call_metrics.conversations.dec()
                if self._ended_records:
                    self._ended_records.end(name)

    async def _answer_all(
        self, conversation: OpenConversation, context: grpc.aio.ServicerContext, stream: Call
    ) -> int:
        """Answer until the caller closes the stream, and return the number of answers."""
        answers = 0
        unanswered = conversation.unanswered
        while True:
            if not unanswered:
                event = await self._next_event(context)
                if event is None:
                    return answers
                conversation.add(event)
            unanswered = False
            async with Call("Converse.answer", context, self._call_metrics, within=stream) as call:
                decision = await conversation.answer(context, call)
            await context.write(wire.ConverseResponse(decision=decision))
            answers += 1

    async def _next_event(self, context: grpc.aio.ServicerContext) -> wire.ConverseRequest | None:
        """Return the stream's next request, None at its end. Raises Draining if the server drains first."""
        reading = asyncio.ensure_future(context.read())
        await asyncio.wait({reading, self._drain_begun}, return_when=asyncio.FIRST_COMPLETED)
        if self.draining:
            reading.cancel()
            raise Draining("replay the conversation at another address")
        event = reading.result()
        return None if event is grpc.aio.EOF else require_parsed(event)


def handlers(service: ConversationService, **others: grpc.RpcMethodHandler) -> grpc.GenericRpcHandler:
    """Register the service's methods with a deserializer that reports malformed bytes as INVALID_ARGUMENT.

    The generated registration would report them as INTERNAL. `others` are methods that only this service has.
    """
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            **others,
            "Decide": grpc.unary_unary_rpc_method_handler(
                service.decide, tolerant_parser(wire.DecideRequest), wire.DecideResponse.SerializeToString
            ),
            "Converse": grpc.stream_stream_rpc_method_handler(
                service.converse,
                tolerant_parser(wire.ConverseRequest),
                wire.ConverseResponse.SerializeToString,
            ),
            "GetServerInfo": grpc.unary_unary_rpc_method_handler(
                service.server_info,
                tolerant_parser(wire.GetServerInfoRequest),
                wire.GetServerInfoResponse.SerializeToString,
            ),
        },
    )
