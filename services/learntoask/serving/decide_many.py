"""DecideMany of the policy server: each of a stream's calls is answered as Decide answers it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc

from learntoask.rpc.batches import Batches
from learntoask.rpc.calls import REQUEST_ID
from learntoask.rpc.requests import Unparsable
from learntoask.wire import ask_pb2 as wire

_MOST_RESULTS = 256  # in one message; a client reads 4 MiB
_Outgoing = wire.DecideManyResponse.Result | None  # None tells that the server drains


class _Failed(Exception):
    """A call was aborted with a status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class _StreamedCall:
    """What a call of a stream has in place of a ServicerContext."""

    def __init__(self, call: wire.DecideManyRequest.Call) -> None:
        self._end = time.monotonic() + call.seconds
        self._call = call

    def time_remaining(self) -> float:
        return self._end - time.monotonic()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ((REQUEST_ID, self._call.request_id), *self._call.metadata.items())

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        """Drop it: it holds the id of the request, which the caller has chosen."""

    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise _Failed(code, message)


class DecideMany:
    """The calls of one stream, answered by `decide`, which gets a request and what stands in for its context."""

    def __init__(
        self, decide: Callable[[wire.DecideRequest, Any], Awaitable[wire.DecideResponse]], context: Any
    ) -> None:
        self._decide, self._context = decide, context
        self._running: dict[int, asyncio.Task[None]] = {}
        self._out: Batches[_Outgoing] = Batches(self._send, most=_MOST_RESULTS)

    async def run(self, drain_begun: asyncio.Future[None]) -> None:
        """Answer until the caller closes the stream and has every answer; at `drain_begun` ask it to do so."""
        drain_begun.add_done_callback(self._announce)
        try:
            while (request := await self._context.read()) is not grpc.aio.EOF:
                if isinstance(request, Unparsable):
                    await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"request: {request.finding}")
                for number in request.cancelled:
                    if (task := self._running.pop(number, None)) is not None:
                        task.cancel()
                for call in request.calls:
                    self._running[call.id] = asyncio.create_task(self._answer(call))
            if self._running:
                await asyncio.wait(self._running.values())
            await self._out.sent()
        finally:
            drain_begun.remove_done_callback(self._announce)
            for task in self._running.values():
                task.cancel()

    async def _answer(self, call: wire.DecideManyRequest.Call) -> None:
        try:
            response = await self._decide(call.request, _StreamedCall(call))
            result = wire.DecideManyResponse.Result(id=call.id, decision=response.decision)
        except _Failed as error:
            failure = wire.DecideManyResponse.Failure(code=error.code.value[0], message=error.message)
            result = wire.DecideManyResponse.Result(id=call.id, failure=failure)
        finally:
            self._running.pop(call.id, None)
        self._out.put(result)

    def _announce(self, _: object) -> None:
        self._out.put(None)

    async def _send(self, batch: list[_Outgoing]) -> None:
        results = [item for item in batch if item is not None]
        message = wire.DecideManyResponse(results=results, draining=len(results) < len(batch))
        with suppress(grpc.aio.BaseError, asyncio.InvalidStateError):
            await self._context.write(message)  # a caller that is gone needs none; reading tells of it
