"""AskService of the gateway: each answer is one request to the policy servers.

The gateway holds the conversations of streams itself: it sends the whole conversation with every request, to the server
that has answered its earlier messages. A server can therefore go away in the middle of any conversation.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import grpc

from learntoask.client.wire import ORIGINS
from learntoask.core.pack import Pack
from learntoask.core.records import STOP
from learntoask.rpc.calls import Call, Overloaded, UpstreamError
from learntoask.rpc.requests import InvalidRequest, Unparsable, byte_length, check_id, require_parsed
from learntoask.serving.conversation import ConversationService
from learntoask.serving.gateway.client import Answer, BackendClient, Unanswered
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.fallback import fallback_decision, fallback_info
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.serving.gateway.records import GatewayRecords
from learntoask.serving.rollout.ledger import Ledger, Leg
from learntoask.serving.rollout.outcomes import Outcomes
from learntoask.serving.rollout.shadow import Shadow
from learntoask.serving.wire import user_message
from learntoask.wire import ask_pb2 as wire


class GatewayAskService(ConversationService):
    """Answers through policy servers. `canary` has those of a policy that is tried, and `shadow` copies requests to
    them; None where none can be. `records` None records nothing."""

    def __init__(
        self,
        client: BackendClient,
        *,
        ledger: Ledger,
        outcomes: Outcomes,
        canary: BackendClient | None,
        shadow: Shadow | None,
        pack: Pack,
        config: GatewayConfig,
        metrics: GatewayMetrics,
        records: GatewayRecords | None,
    ) -> None:
        super().__init__(max_conversations=config.max_conversations, metrics=metrics, records=records)
        self._in_flight = 0
        self._client = client
        self._ledger = ledger
        self._outcomes = outcomes
        self._canary = canary
        self._shadow = shadow
        self._pack = pack
        self._config = config
        self._metrics = metrics
        self._records = records

    @property
    def in_flight(self) -> int:
        return self._in_flight

    async def decide(
        self, request: wire.DecideRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.DecideResponse:
        async with Call("Decide", context, self._metrics) as call:
            asked = require_parsed(request)
            check_id("conversation_id", asked.conversation_id)
            check_id("caller_id", asked.caller_id)
            decision = await self.decide_and_record(
                asked,
                context,
                call,
                routing_key=_routing_key(asked),
                conversation=asked.conversation_id,
            )
            return wire.DecideResponse(decision=decision)

    async def server_info(
        self, request: wire.GetServerInfoRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.GetServerInfoResponse:
        async with Call("GetServerInfo", context, self._metrics) as call:
            require_parsed(request)
            try:
                info = await self._client.info(
                    request_id=call.request_id, seconds=self._seconds_left(context)
                )
            except Unanswered:
                info = fallback_info(self._pack, draining=False)
            info.draining = self.draining
            return info

    async def report_outcome(
        self, request: wire.ReportOutcomeRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.ReportOutcomeResponse:
        async with Call("ReportOutcome", context, self._metrics) as call:
            report = require_parsed(request)
            call.fields |= {"conversation_id": report.conversation_id, "outcome": report.name}
            call.fields["first"] = self._outcomes.report(report)
            return wire.ReportOutcomeResponse()

    def open_conversation(
        self, opening: wire.ConverseRequest.Open, *, conversation: str
    ) -> _ForwardedConversation:
        asked = wire.DecideRequest(
            messages=opening.history,
            task=opening.task,
            goal=opening.goal,
            conversation_id=conversation,
            assignment=opening.assignment if opening.HasField("assignment") else None,
            caller_id=opening.caller_id,
        )
        check_id("open.caller_id", asked.caller_id)
        _check_size(asked.messages, self._config)
        return _ForwardedConversation(self, asked, self._config)

    async def decide_and_record(
        self,
        asked: wire.DecideRequest,
        context: grpc.aio.ServicerContext,
        call: Call,
        *,
        routing_key: str,
        conversation: str,
    ) -> wire.Decision:
        """Ask the servers, else answer with the fallback, and record the conversation.

        Raises Overloaded, and UpstreamError if the request is at fault or the fallback is `refuse`.
        """
        call.fields |= {
            "conversation_id": asked.conversation_id,
            "task": asked.task,
            "messages": len(asked.messages),
        }
        if self._in_flight >= self._config.max_in_flight:
            raise Overloaded(f"{self._in_flight} answers are waited for")
        leg = self._ledger.leg(conversation, asked, routing_key=routing_key)
        self._in_flight += 1
        failed = False
        try:
            answer, failed = await self._ask(
                leg,
                asked,
                routing_key=routing_key,
                request_id=call.request_id,
                seconds=self._seconds_left(context),
            )
            decision, call.fields["server"] = answer.decision, answer.server
        except Unanswered as error:
            call.fields["unanswered"] = str(error)
            if self._config.fallback == "refuse":
                raise UpstreamError(
                    grpc.StatusCode.UNAVAILABLE, "no policy server answered; retry later"
                ) from error
            decision, failed = fallback_decision(self._pack, request_id=call.request_id), True
        finally:
            self._in_flight -= 1
        self._ledger.answered(leg, asked, decision, failed=failed)
        action = "ask" if decision.HasField("ask") else "stop"
        no_policy = self._ledger.has_no_policy(leg)
        origin = "no_policy" if no_policy else ORIGINS.get(decision.origin, "model")
        self._metrics.count_decision(action, origin)
        call.fields |= {
            "action": action,
            "origin": origin,
            "stop_probability": round(decision.stop_probability, 6),
            "policy_revision": decision.policy_revision,
        }
        if self._shadow:
            self._shadow.offer(leg, asked, decision)
        if self._records:
            progress = leg.progress if self._ledger.is_current(leg) else None
            self._records.record(asked, decision, conversation=conversation, progress=progress, failed=failed)
        return decision

    async def _ask(
        self, leg: Leg, asked: wire.DecideRequest, *, routing_key: str, request_id: str, seconds: float
    ) -> tuple[Answer, bool]:
        """Return the answer of the conversation's arm, and whether a server of the arm failed.

        If the canary does not answer in half of the time, the conversation goes on at the control. Raises as
        `BackendClient.decide` does.
        """
        failed, start = False, time.monotonic()
        if self._ledger.has_no_policy(leg):
            decision = fallback_decision(self._pack, request_id=request_id)
            return Answer(decision, server="", failures=0, seconds=0.0), False
        if self._canary is not None and self._ledger.arm(leg) == "canary":
            try:
                if not self._canary.serves:
                    raise Unanswered("no server of the canary serves")  # without waiting for one
                answer = await self._canary.decide(
                    asked, conversation=routing_key, request_id=request_id, seconds=seconds / 2
                )
            except Unanswered:
                self._ledger.called(failed=True, seconds=time.monotonic() - start)
                self._ledger.move(leg)
                failed, seconds = True, seconds - (time.monotonic() - start)
            else:
                self._ledger.called(failed=answer.failures > 0, seconds=answer.seconds)
                return answer, answer.failures > 0
        answer = await self._client.decide(
            asked, conversation=routing_key, request_id=request_id, seconds=seconds
        )
        return answer, failed or answer.failures > 0

    def _seconds_left(self, context: grpc.aio.ServicerContext) -> float:
        left: float | None = context.time_remaining()
        bound = self._config.deadline_seconds
        return bound if left is None else min(left, bound)


class _ForwardedConversation:
    """An OpenConversation of the gateway; `asked` is the request that grows with each message."""

    def __init__(self, service: GatewayAskService, asked: wire.DecideRequest, config: GatewayConfig) -> None:
        self._service = service
        self._asked = asked
        self._config = config

    @property
    def unanswered(self) -> bool:
        messages = self._asked.messages
        return bool(messages) and messages[-1].role == wire.ROLE_USER

    def add(self, event: wire.ConverseRequest) -> None:
        content = user_message(event, max_bytes=self._config.max_message_bytes)
        self._asked.messages.append(wire.Message(role=wire.ROLE_USER, content=content))
        _check_size(self._asked.messages, self._config)

    async def answer(self, context: grpc.aio.ServicerContext, call: Call) -> wire.Decision:
        name = self._asked.conversation_id
        decision = await self._service.decide_and_record(
            self._asked, context, call, routing_key=name, conversation=name
        )
        if decision.HasField("assignment"):
            self._asked.assignment.CopyFrom(decision.assignment)
        content = decision.ask.question if decision.HasField("ask") else STOP
        self._asked.messages.append(
            wire.Message(role=wire.ROLE_ASSISTANT, content=content, author=wire.AUTHOR_POLICY)
        )
        return decision


def _check_size(messages: Sequence[Any], config: GatewayConfig) -> None:
    """Raises InvalidRequest for a conversation too large for the gateway to hold; the servers check everything else."""
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


def _routing_key(asked: wire.DecideRequest) -> str:
    """Return what identifies a conversation in all its calls: its id, else a hash of task and first message."""
    if asked.conversation_id or not asked.messages:
        return str(asked.conversation_id)
    first = asked.messages[0].content
    return blake2b(f"{asked.task}\0{first}".encode(errors="surrogatepass"), digest_size=16).hexdigest()
