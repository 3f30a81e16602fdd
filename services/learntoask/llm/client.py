"""The client of a language model: `LlmClient.complete` returns an answer in a given form, or the reason for none."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

from learntoask.core.errors import StageError
from learntoask.core.manifest import Endpoint, seconds
from learntoask.core.prompt import ChatMessage
from learntoask.llm.concurrency import ConcurrencyLimit, RequestSlots, retry_delay
from learntoask.llm.connection import EndpointConnections
from learntoask.llm.journal import ReplyJournal
from learntoask.llm.spending import Spending
from learntoask.llm.structured_output import (
    Filled,
    ModelReply,
    NoAnswer,
    NoAnswerReason,
    read_answer,
    schema_of,
)
from learntoask.llm.wire import Denial, Fault, Reply, request_body

# A stage ends after this many requests in a row that only met faults, because the cause is then the server.
GIVEN_UP = 8
# A stage ends after this many denied requests without any reply, because the cause is then common to all requests.
DENIED = 32


class LlmClient:
    """A client of one endpoint, for many concurrent tasks of one event loop.

    `where` is the manifest field of the endpoint, for messages. With a journal, requests that an earlier attempt got a
    reply to are answered from it.
    """

    def __init__(
        self, endpoint: Endpoint, *, spending: Spending, where: str, journal: ReplyJournal | None = None
    ) -> None:
        """Raises InputError if the endpoint's address is invalid or its API key is missing."""
        self.endpoint = endpoint
        self._where = where
        self._spending = spending
        self._journal = journal
        self._connections = EndpointConnections(endpoint, where=where)
        self._slots = RequestSlots(ConcurrencyLimit(ceiling=endpoint.concurrency))
        self._given_up = self._denied = self._replies = 0
        for reply in journal or ():
            spending.count_reply(reply.usage, endpoint.prices, resumed=True)

    async def complete(
        self, messages: Sequence[ChatMessage], *, form: type[Filled], max_tokens: int | None = None
    ) -> ModelReply[Filled] | NoAnswer:
        """Request an answer in the given form. The name of its class is sent to the server.

        After a wait for a free slot, the call ends within the endpoint's `retryFor` plus `timeout`. Raises StageError
        if further requests are pointless: the budget is spent, the server refuses the key, address or model, it does
        not answer any request, or the journal cannot be written.
        """
        body = request_body(
            self.endpoint,
            messages,
            name=form.__name__,
            schema=schema_of(form),
            max_tokens=max_tokens or self.endpoint.max_tokens,
        )
        asked = hashlib.sha256(body).hexdigest()[:32]
        reply = self._journal.find(asked) if self._journal else None
        if reply is not None:
            return read_answer(reply, form)
        try:
            outcome = await self._ask(body)
            if isinstance(outcome, NoAnswer):
                return outcome
            if self._journal:
                self._journal.add(asked, outcome)
            self._spending.count_reply(outcome.usage, self.endpoint.prices)
        except StageError as error:
            self._spending.stop(error)
            raise
        return read_answer(outcome, form)

    async def close(self) -> None:
        await self._connections.close()
        if self._journal:
            self._journal.close()

    async def _ask(self, body: bytes) -> Reply | NoAnswer:
        """Send the request until the server replies or denies it, or until `retryFor` is over."""
        attempt, give_up = 0, 0.0
        while True:
            attempt += 1
            async with self._slots:
                self._spending.count_request()
                give_up = give_up or time.monotonic() + seconds(self.endpoint.retry_for)
                outcome = await self._connections.post(body)
                self._note(outcome)
            if isinstance(outcome, Reply):
                self._given_up = 0
                self._replies += 1
                return outcome
            if isinstance(outcome, Denial):
                return self._denial(outcome)
            delay = retry_delay(attempt, retry_after=outcome.retry_after)
            if time.monotonic() + delay > give_up:
                tried = f"{attempt} attempts in {self.endpoint.retry_for}"
                if outcome.retry_after:
                    tried += f", the server asks to wait {outcome.retry_after:g} s"
                return self._give_up(f"{tried}; the last: {outcome.message}")
            await asyncio.sleep(delay)

    def _note(self, outcome: Reply | Fault | Denial) -> None:
        failed = isinstance(outcome, Fault)
        if isinstance(outcome, Fault):
            self._spending.faults[outcome.kind] += 1
        wait = outcome.retry_after if isinstance(outcome, Fault) else None
        self._slots.limit.note(failed=failed, now=asyncio.get_running_loop().time(), retry_after=wait)

    def _denial(self, denial: Denial) -> NoAnswer:
        self._denied += 1
        if denial.fatal or (not self._replies and self._denied >= DENIED):
            raise StageError(
                f"{self._where}: {self.endpoint.uri} refuses requests for model {self.endpoint.model!r} with "
                f"{denial.message}",
                reason="EndpointRefused",
            )
        return NoAnswer(NoAnswerReason.DENIED, denial.message)

    def _give_up(self, message: str) -> NoAnswer:
        self._given_up += 1
        if self._given_up >= GIVEN_UP:
            raise StageError(
                f"{self._where}: {self.endpoint.uri} answered none of the last {GIVEN_UP} requests ({message}); check "
                "the server and run again. The answers so far are kept",
                reason="EndpointUnavailable",
            )
        return NoAnswer(NoAnswerReason.UNAVAILABLE, message)
