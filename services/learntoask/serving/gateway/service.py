"""AskService of the gateway: each answer of a call or a stream is one request to the servers behind it.

A stream is held here and nowhere else: what the user says next is asked with the whole conversation, of the server
that has read the rest of it already. So a server may go away in the middle of any conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import grpc

from learntoask.core.pack import Pack
from learntoask.core.records import STOP
from learntoask.rpc.calls import Call, Draining, Overloaded, Relayed
from learntoask.rpc.requests import InvalidRequest, Unparsable, byte_length, check_bytes, check_id, parsed
from learntoask.serving.gateway.client import Asker, Unanswered
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.fallback import fallback_decision, fallback_info
from learntoask.serving.gateway.metrics import Metrics
from learntoask.serving.gateway.records import Keeper
from learntoask.serving.wire import opening as read_opening
from learntoask.wire import ask_pb2 as wire

_ORIGINS = {
    wire.ORIGIN_MODEL: "model",
    wire.ORIGIN_REPAIRED: "repaired",
    wire.ORIGIN_FALLBACK: "fallback",
    wire.ORIGIN_NO_SERVER: "no_server",
}


class GatewayService:
    """Make it inside the event loop that serves it. `keeper` None keeps no records."""

    def __init__(
        self, asker: Asker, *, pack: Pack, config: GatewayConfig, metrics: Metrics, keeper: Keeper | None
    ) -> None:
        self.in_flight = 0
        self._asker = asker
        self._pack = pack
        self._config = config
        self._metrics = metrics
        self._keeper = keeper
        self._conversations = 0
        self._draining: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def drain(self) -> None:
        """Refuse new conversations; open ones finish the answer they are at and close with UNAVAILABLE."""
        if not self._draining.done():
            self._draining.set_result(None)

    @property
    def busy(self) -> bool:
        """Whether an answer is waited for or a conversation is open."""
        return self.in_flight > 0 or self._conversations > 0

    async def decide(
        self, request: wire.DecideRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.DecideResponse:
        async with Call("Decide", context, self._metrics) as call:
            asked = parsed(request)
            check_id("conversation_id", asked.conversation_id)
            decision = await self._decided(asked, context, call, key=_conversation(asked))
            if self._keeper:
                self._keeper.keep(asked, decision, conversation=asked.conversation_id)
            return wire.DecideResponse(decision=decision)

    async def converse(self, requests: object, context: grpc.aio.ServicerContext) -> None:
        async with Call("Converse", context, self._metrics) as stream:
            if self._conversations >= self._config.max_conversations:
                raise Overloaded(f"{self._conversations} conversations are open")
            self._conversations += 1
            self._metrics.conversations.inc()
            conversation = stream.request_id
            try:
                event = await self._next(context)
                if event is None:
                    return
                opening = read_opening(event)
                check_id("open.conversation_id", opening.conversation_id)
                conversation = opening.conversation_id or conversation
                stream.fields["conversation_id"] = conversation
                stream.fields["answers"] = await self._hold(opening, context, conversation)
            finally:
                self._conversations -= 1
                self._metrics.conversations.dec()
                if self._keeper:
                    self._keeper.end(conversation)

    async def server_info(
        self, request: wire.GetServerInfoRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.GetServerInfoResponse:
        async with Call("GetServerInfo", context, self._metrics) as call:
            parsed(request)
            try:
                info = await self._asker.info(request_id=call.request_id, seconds=self._seconds(context))
            except Unanswered:
                info = fallback_info(self._pack, draining=False)
            info.draining = self._draining.done()
            return info

    async def _hold(
        self, opening: wire.ConverseRequest.Open, context: grpc.aio.ServicerContext, conversation: str
    ) -> int:
        """Answer every user message of a stream until the caller closes it; returns the number of answers."""
        asked = wire.DecideRequest(
            messages=opening.history, task=opening.task, goal=opening.goal, conversation_id=conversation
        )
        self._check(asked.messages)
        answers = 0
        unanswered = bool(asked.messages) and asked.messages[-1].role == wire.ROLE_USER
        while True:
            if not unanswered:
                event = await self._next(context)
                if event is None:
                    return answers
                asked.messages.append(self._user_message(event))
                self._check(asked.messages)
            unanswered = False
            async with Call("Converse.answer", context, self._metrics) as call:
                decision = await self._decided(asked, context, call, key=conversation)
                if self._keeper:
                    self._keeper.keep(asked, decision, conversation=conversation)
            said = decision.ask.question if decision.HasField("ask") else STOP
            asked.messages.append(
                wire.Message(role=wire.ROLE_ASSISTANT, content=said, author=wire.AUTHOR_POLICY)
            )
            await context.write(wire.ConverseResponse(decision=decision))
            answers += 1

    async def _next(self, context: grpc.aio.ServicerContext) -> wire.ConverseRequest | None:
        """The stream's next event, None at its end. Raises Draining where the gateway drains first."""
        reading = asyncio.ensure_future(context.read())
        await asyncio.wait({reading, self._draining}, return_when=asyncio.FIRST_COMPLETED)
        if self._draining.done():
            reading.cancel()
            raise Draining("replay the conversation at another address")
        event = reading.result()
        return None if event is grpc.aio.EOF else parsed(event)

    async def _decided(
        self, asked: wire.DecideRequest, context: grpc.aio.ServicerContext, call: Call, *, key: str
    ) -> wire.Decision:
        call.fields |= {
            "conversation_id": asked.conversation_id,
            "task": asked.task,
            "messages": len(asked.messages),
        }
        if self.in_flight >= self._config.max_in_flight:
            raise Overloaded(f"{self.in_flight} answers are waited for")
        self.in_flight += 1
        try:
            decision, server = await self._asker.decide(
                asked, conversation=key, request_id=call.request_id, seconds=self._seconds(context)
            )
            call.fields["server"] = server
        except Unanswered as error:
            call.fields["unanswered"] = str(error)
            if self._config.fallback == "refuse":
                raise Relayed(
                    grpc.StatusCode.UNAVAILABLE, "no policy server answered; retry later"
                ) from error
            decision = fallback_decision(self._pack, request_id=call.request_id)
        finally:
            self.in_flight -= 1
        action, origin = (
            "ask" if decision.HasField("ask") else "stop",
            _ORIGINS.get(decision.origin, "model"),
        )
        self._metrics.decided(action, origin)
        call.fields |= {
            "action": action,
            "origin": origin,
            "stop_probability": round(decision.stop_probability, 6),
            "policy_revision": decision.policy_revision,
        }
        return decision

    def _seconds(self, context: grpc.aio.ServicerContext) -> float:
        left: float | None = context.time_remaining()
        bound = self._config.deadline_seconds
        return bound if left is None else min(left, bound)

    def _user_message(self, event: wire.ConverseRequest) -> wire.Message:
        if event.WhichOneof("event") != "user_message":
            raise InvalidRequest("event", "a stream is opened once; send user_message from then on")
        check_bytes("user_message", event.user_message, most=self._config.max_message_bytes)
        return wire.Message(role=wire.ROLE_USER, content=event.user_message)

    def _check(self, messages: Sequence[Any]) -> None:
        """What a stream may make the gateway hold; everything else is for the server to judge."""
        config = self._config
        if len(messages) > config.max_messages:
            raise InvalidRequest(
                "open.history",
                f"{len(messages)} messages, at most {config.max_messages} are read; begin a new conversation",
            )
        if sum(len(message.content) for message in messages) * 4 <= config.max_conversation_bytes:
            return
        size = sum(byte_length(message.content) for message in messages)
        if size > config.max_conversation_bytes:
            raise InvalidRequest(
                "open.history",
                f"{size} bytes in all, at most {config.max_conversation_bytes} are read; begin a new conversation",
            )


def _conversation(asked: wire.DecideRequest) -> str:
    """What keeps a conversation at one server: its id, else how it began, which every later call repeats."""
    if asked.conversation_id or not asked.messages:
        return str(asked.conversation_id)
    first = asked.messages[0].content
    return blake2b(f"{asked.task}\0{first}".encode(errors="surrogatepass"), digest_size=16).hexdigest()
