"""AskService on gRPC: protobuf to records of the core and back. The wire's types do not leave this module."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import grpc

from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.rpc.calls import Call, Draining, Overloaded
from learntoask.rpc.requests import Unparsable, check_id, parsed, parser
from learntoask.serving.config import ServeConfig
from learntoask.serving.decider import Decided, Decider
from learntoask.serving.input_checks import Limits
from learntoask.serving.metrics import Metrics
from learntoask.serving.records.log import RecordedDecision
from learntoask.serving.records.writer import Recording
from learntoask.serving.wire import Reader
from learntoask.serving.wire import opening as read_opening
from learntoask.wire import ask_pb2 as wire

SERVICE = wire.DESCRIPTOR.services_by_name["AskService"].full_name

_ORIGINS = {
    "model": wire.ORIGIN_MODEL,
    "repaired": wire.ORIGIN_REPAIRED,
    "fallback": wire.ORIGIN_FALLBACK,
}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is decided by here, whatever the revision of the policy."""

    pack: Pack
    pack_digest: str


class AskService:
    """Make it inside the event loop that serves it."""

    def __init__(
        self,
        decider: Decider,
        *,
        identity: Identity,
        config: ServeConfig,
        metrics: Metrics,
        recording: Recording | None,
    ) -> None:
        self._decider = decider
        self._identity = identity
        self._pack = identity.pack
        self._config = config
        self._reader = Reader(
            identity.pack,
            Limits(
                max_messages=config.max_messages,
                max_message_bytes=config.max_message_bytes,
                max_conversation_bytes=config.max_conversation_bytes,
            ),
        )
        self._metrics = metrics
        self._recording = recording
        self._conversations = 0
        self._draining: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def drain(self) -> None:
        """Refuse new conversations; open ones finish the answer they are at and close with UNAVAILABLE."""
        if not self._draining.done():
            self._draining.set_result(None)

    @property
    def busy(self) -> bool:
        """Whether an answer is being made or a conversation is open."""
        return self._decider.in_flight > 0 or self._conversations > 0

    async def decide(
        self, request: wire.DecideRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.DecideResponse:
        async with Call("Decide", context, self._metrics) as call:
            asked = parsed(request)
            check_id("conversation_id", asked.conversation_id)
            messages = self._reader.messages("messages", asked.messages)
            subject = self._reader.subject(messages, task=asked.task, goal=asked.goal, field="messages")
            decided = await self._decided(subject, context, call, conversation=asked.conversation_id)
            self._record(decided, subject, messages, call, conversation=asked.conversation_id)
            decision = self._decision(decided, call)
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
                if self._recording:
                    self._recording.end([conversation])

    async def server_info(
        self, request: wire.GetServerInfoRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.GetServerInfoResponse:
        async with Call("GetServerInfo", context, self._metrics):
            parsed(request)
            config = self._config
            return wire.GetServerInfoResponse(
                version=version("learntoask"),
                policy_revision=self._decider.revision,
                pack=self._pack.name,
                pack_digest=self._identity.pack_digest,
                tasks=[
                    wire.TaskInfo(
                        name=task.name, goal=task.goal, fields=[field.name for field in task.fields]
                    )
                    for task in self._pack.tasks
                ],
                default_task=self._pack.default_task or "",
                limits=wire.Limits(
                    max_messages=config.max_messages,
                    max_message_bytes=config.max_message_bytes,
                    max_conversation_bytes=config.max_conversation_bytes,
                    max_prompt_tokens=config.max_prompt_tokens,
                    max_new_tokens=config.max_new_tokens,
                    max_concurrent=config.max_concurrent,
                    max_queue=config.max_queue,
                ),
                draining=self._draining.done(),
            )

    async def _hold(
        self, opening: wire.ConverseRequest.Open, context: grpc.aio.ServicerContext, conversation: str
    ) -> int:
        """Answer every user message of a stream until the caller closes it; returns the number of answers."""
        messages = self._reader.messages("open.history", opening.history)
        self._reader.subject(
            messages, task=opening.task, goal=opening.goal
        )  # a wrong task is told before any message
        answers = 0
        unanswered = bool(messages) and messages[-1].role == "user"
        while True:
            if not unanswered:
                event = await self._next(context)
                if event is None:
                    return answers
                messages.append(self._reader.user_message(event))
            unanswered = False
            async with Call("Converse.answer", context, self._metrics) as call:
                subject = self._reader.subject(
                    messages, task=opening.task, goal=opening.goal, field="open.history"
                )
                decided = await self._decided(subject, context, call, conversation=conversation)
                self._record(decided, subject, messages, call, conversation=conversation)
            messages.append(decided.answer.message)
            await context.write(wire.ConverseResponse(decision=self._decision(decided, call)))
            answers += 1

    async def _next(self, context: grpc.aio.ServicerContext) -> wire.ConverseRequest | None:
        """The stream's next event, None at its end. Raises Draining where the server drains first."""
        reading = asyncio.ensure_future(context.read())
        await asyncio.wait({reading, self._draining}, return_when=asyncio.FIRST_COMPLETED)
        if self._draining.done():
            reading.cancel()
            raise Draining("replay the conversation at another address")
        event = reading.result()
        return None if event is grpc.aio.EOF else parsed(event)

    async def _decided(
        self, subject: Context, context: grpc.aio.ServicerContext, call: Call, *, conversation: str
    ) -> Decided:
        call.fields |= {
            "conversation_id": conversation,
            "task": subject.task,
            "messages": len(subject.messages),
        }
        if self._config.log_messages:
            call.fields["context"] = [(message.role, message.content) for message in subject.messages]
        decided = await self._decider.decide(subject, seconds_left=context.time_remaining())
        answer = decided.answer
        call.fields |= {
            "action": answer.action,
            "origin": answer.origin,
            "stop_probability": round(decided.stop_probability, 6),
            "prompt_tokens": decided.usage.prompt,
            "cached_tokens": decided.usage.cached,
            "completion_tokens": decided.usage.completion,
        }
        if self._config.log_messages:
            call.fields["said"] = decided.said
        return decided

    def _decision(self, decided: Decided, call: Call) -> wire.Decision:
        question = decided.answer.question
        action: dict[str, Any] = (
            {"stop": wire.Stop()} if question is None else {"ask": wire.Ask(question=question)}
        )
        return wire.Decision(
            **action,
            stop_probability=decided.stop_probability,
            policy_revision=decided.revision,
            usage=wire.Usage(
                prompt_tokens=decided.usage.prompt,
                cached_tokens=decided.usage.cached,
                completion_tokens=decided.usage.completion,
            ),
            origin=_ORIGINS[decided.answer.origin],
            request_id=call.request_id,
        )

    def _record(
        self, decided: Decided, subject: Context, messages: list[Message], call: Call, *, conversation: str
    ) -> None:
        """Keep the conversation as it came, end markers included, if the operator wants records."""
        if self._recording is None:
            return
        recorded = RecordedDecision(
            answer=decided.answer,
            stop_probability=decided.stop_probability,
            request_id=call.request_id,
            policy_revision=decided.revision,
        )
        whole = Context(subject.task, subject.goal, tuple(messages))
        self._recording.note(conversation or call.request_id, whole, recorded)
        if not conversation:  # nothing could ever be added to it
            self._recording.end([call.request_id])


class Asked(Protocol):
    """Whatever answers AskService: a policy server, a gateway."""

    async def decide(
        self, request: wire.DecideRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.DecideResponse: ...

    async def converse(self, requests: object, context: grpc.aio.ServicerContext) -> None: ...

    async def server_info(
        self, request: wire.GetServerInfoRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.GetServerInfoResponse: ...


def handlers(service: Asked) -> grpc.GenericRpcHandler:
    """Not the generated registration: its parser would turn malformed bytes into an INTERNAL error."""
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Decide": grpc.unary_unary_rpc_method_handler(
                service.decide, parser(wire.DecideRequest), wire.DecideResponse.SerializeToString
            ),
            "Converse": grpc.stream_stream_rpc_method_handler(
                service.converse, parser(wire.ConverseRequest), wire.ConverseResponse.SerializeToString
            ),
            "GetServerInfo": grpc.unary_unary_rpc_method_handler(
                service.server_info,
                parser(wire.GetServerInfoRequest),
                wire.GetServerInfoResponse.SerializeToString,
            ),
        },
    )
