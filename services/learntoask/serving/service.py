"""AskService of the policy server: converts requests to contexts, decides, and converts the answers back."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import grpc

from learntoask.client.wire import WIRE_ORIGINS
from learntoask.core.pack import Pack
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.rpc.calls import Call
from learntoask.rpc.requests import Unparsable, check_id, require_parsed
from learntoask.serving.config import ServeConfig
from learntoask.serving.conversation import ConversationService
from learntoask.serving.decide_many import DecideMany
from learntoask.serving.decider import Decider, PolicyDecision
from learntoask.serving.input_checks import ConversationLimits
from learntoask.serving.metrics import ServingMetrics
from learntoask.serving.records.log import RecordedDecision
from learntoask.serving.records.writer import RecordWriter
from learntoask.serving.wire import RequestReader
from learntoask.wire import ask_pb2 as wire


class PolicyAskService(ConversationService):
    """Answers with the decider's policy. `records` None records nothing."""

    def __init__(
        self,
        decider: Decider,
        *,
        pack: Pack,
        pack_digest: str,
        config: ServeConfig,
        metrics: ServingMetrics,
        records: RecordWriter | None,
    ) -> None:
        super().__init__(max_conversations=config.max_conversations, metrics=metrics, records=records)
        self.reader = RequestReader(
            pack,
            ConversationLimits(
                max_messages=config.max_messages,
                max_message_bytes=config.max_message_bytes,
                max_conversation_bytes=config.max_conversation_bytes,
            ),
        )
        self._decider = decider
        self._pack = pack
        self._pack_digest = pack_digest
        self._config = config
        self._metrics = metrics
        self._records = records

    @property
    def in_flight(self) -> int:
        return self._decider.in_flight

    async def decide(
        self, request: wire.DecideRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.DecideResponse:
        async with Call("Decide", context, self._metrics) as call:
            asked = require_parsed(request)
            check_id("conversation_id", asked.conversation_id)
            messages = self.reader.messages("messages", asked.messages)
            subject = self.reader.context(
                messages, task=asked.task, goal=asked.goal, answerable_field="messages"
            )
            decision = await self.decide_and_record(
                subject, messages, context, call, conversation=asked.conversation_id
            )
            return wire.DecideResponse(decision=_to_wire(decision, call))

    async def decide_many(self, _requests: object, context: grpc.aio.ServicerContext) -> None:
        """Answer the calls of a stream, each with metrics and a log line as for a single call."""
        await DecideMany(self.decide, context).run(self._drain_begun)

    async def server_info(
        self, request: wire.GetServerInfoRequest | Unparsable, context: grpc.aio.ServicerContext
    ) -> wire.GetServerInfoResponse:
        async with Call("GetServerInfo", context, self._metrics):
            require_parsed(request)
            config = self._config
            return wire.GetServerInfoResponse(
                version=version("learntoask"),
                policy_revision=self._decider.revision,
                pack=self._pack.name,
                pack_digest=self._pack_digest,
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
                draining=self.draining,
            )

    def open_conversation(
        self, opening: wire.ConverseRequest.Open, *, conversation: str
    ) -> _PolicyConversation:
        messages = self.reader.messages("open.history", opening.history)
        self.reader.context(messages, task=opening.task, goal=opening.goal)  # a wrong task is refused at once
        return _PolicyConversation(self, messages, opening, conversation)

    async def decide_and_record(
        self,
        subject: Context,
        messages: list[Message],
        context: grpc.aio.ServicerContext,
        call: Call,
        *,
        conversation: str,
    ) -> PolicyDecision:
        """Decide on `subject` and record `messages`, the conversation as it came. Raises as `Decider.decide` does."""
        call.fields |= {
            "conversation_id": conversation,
            "task": subject.task,
            "messages": len(subject.messages),
        }
        if self._config.log_messages:
            call.fields["context"] = [(message.role, message.content) for message in subject.messages]
        decision = await self._decider.decide(subject, seconds_left=context.time_remaining())
        answer = decision.answer
        call.fields |= {
            "action": answer.action,
            "origin": answer.origin,
            "stop_probability": round(decision.stop_probability, 6),
            "prompt_tokens": decision.usage.prompt,
            "cached_tokens": decision.usage.cached,
            "completion_tokens": decision.usage.completion,
        }
        if decision.missing:
            call.fields["missing"] = [missing.name for missing in decision.missing]
        if self._config.log_messages:
            call.fields["said"] = decision.text
        if self._records is not None:
            self._record(self._records, decision, subject, messages, call, conversation=conversation)
        return decision

    def _record(
        self,
        records: RecordWriter,
        decision: PolicyDecision,
        subject: Context,
        messages: list[Message],
        call: Call,
        *,
        conversation: str,
    ) -> None:
        """Record the conversation with its end markers, which `subject` no longer has."""
        recorded = RecordedDecision(
            answer=decision.answer,
            stop_probability=decision.stop_probability,
            request_id=call.request_id,
            policy_revision=decision.revision,
            missing=tuple(missing.name for missing in decision.missing),
        )
        whole = Context(subject.task, subject.goal, tuple(messages))
        records.note(conversation or call.request_id, whole, recorded)
        if not conversation:  # without an id no later call can belong to it
            records.end(call.request_id)


class _PolicyConversation:
    """An OpenConversation of the policy server."""

    def __init__(
        self,
        service: PolicyAskService,
        messages: list[Message],
        opening: wire.ConverseRequest.Open,
        conversation: str,
    ) -> None:
        self._service = service
        self._messages = messages
        self._opening = opening
        self._conversation = conversation

    @property
    def unanswered(self) -> bool:
        return bool(self._messages) and self._messages[-1].role == "user"

    def add(self, event: wire.ConverseRequest) -> None:
        self._messages.append(self._service.reader.user_message(event))

    async def answer(self, context: grpc.aio.ServicerContext, call: Call) -> wire.Decision:
        subject = self._service.reader.context(
            self._messages,
            task=self._opening.task,
            goal=self._opening.goal,
            answerable_field="open.history",
        )
        decision = await self._service.decide_and_record(
            subject, self._messages, context, call, conversation=self._conversation
        )
        self._messages.append(decision.answer.message)
        return _to_wire(decision, call)


def _to_wire(decision: PolicyDecision, call: Call) -> wire.Decision:
    question = decision.answer.question
    action: dict[str, Any] = (
        {"stop": wire.Stop()} if question is None else {"ask": wire.Ask(question=question)}
    )
    return wire.Decision(
        **action,
        stop_probability=decision.stop_probability,
        policy_revision=decision.revision,
        usage=wire.Usage(
            prompt_tokens=decision.usage.prompt,
            cached_tokens=decision.usage.cached,
            completion_tokens=decision.usage.completion,
        ),
        origin=WIRE_ORIGINS[decision.answer.origin],
        request_id=call.request_id,
        missing=[
            wire.MissingField(field=missing.name, probability=missing.probability)
            for missing in decision.missing
        ],
    )
