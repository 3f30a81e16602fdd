"""The client for code without an event loop: the asynchronous client on an event loop in a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from threading import Thread
from typing import Any, TypeVar

from learntoask.client.asynchronous import AsyncClient, AsyncConversation
from learntoask.client.channel_pool import FORKED
from learntoask.client.types import Assignment, Decision, ServerInfo
from learntoask.core.records import Message
from learntoask.rpc.channels import Tls

Result = TypeVar("Result")


class Client:
    """Client of one or more policy servers, as AsyncClient. It is thread-safe; use it with `with`, or `close` it.

    It does not work in a forked child of the process that opened it.
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
        self._client = AsyncClient(addresses, token=token, tls=tls, timeout=timeout, attempts=attempts)
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="learntoask-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all channels and end the thread."""
        if self._loop.is_closed() or os.getpid() != self._process:
            return
        self.run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def decide(
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

        See AsyncClient.decide for `conversation_id`, `caller_id` and `assignment`.
        """
        return self.run(
            self._client.decide(
                messages,
                task=task,
                goal=goal,
                conversation_id=conversation_id,
                caller_id=caller_id,
                assignment=assignment,
                timeout=timeout,
            )
        )

    def report_outcome(
        self,
        conversation_id: str,
        name: str,
        value: str | float,
        *,
        assignment: Assignment | None = None,
        timeout: float | None = None,
    ) -> None:
        """Report what came of a conversation, as AsyncClient.report_outcome. Raises CallFailed."""
        self.run(
            self._client.report_outcome(conversation_id, name, value, assignment=assignment, timeout=timeout)
        )

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Ask which policy and pack the server serves. Raises CallFailed."""
        return self.run(self._client.server_info(timeout=timeout))

    def converse(
        self,
        *,
        task: str = "",
        goal: str = "",
        conversation_id: str = "",
        caller_id: str = "",
        history: Sequence[Message] = (),
    ) -> Conversation:
        """Return a conversation held by one stream; use it with `with`.

        `history` is empty or ends with a message of the assistant.
        """
        return Conversation(
            self,
            self._client.converse(
                task=task,
                goal=goal,
                conversation_id=conversation_id,
                caller_id=caller_id,
                history=history,
            ),
        )

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the client's event loop and return its result. Raises CallFailed in a forked child."""
        if os.getpid() != self._process:  # the thread that turns the loop stayed in the parent
            work.close()
            raise FORKED
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


class Conversation:
    """A conversation with a policy, as AsyncConversation."""

    def __init__(self, client: Client, conversation: AsyncConversation) -> None:
        self._client = client
        self._conversation = conversation

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._client.run(self._conversation.__aexit__(kind, error, trace))

    @property
    def messages(self) -> list[Message]:
        """The whole conversation so far."""
        return list(self._conversation.messages)

    def say(self, content: str, *, timeout: float | None = None) -> Decision:
        """Return the answer to the user's next message. Raises CallFailed."""
        return self._client.run(self._conversation.say(content, timeout=timeout))
