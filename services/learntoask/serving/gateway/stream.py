"""Send calls of Decide to one server, in one stream that all of them share or as single calls.

A single call costs gateway and server about twice as much, but servers of earlier versions have no stream.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from math import inf
from typing import Any

import grpc

from learntoask.rpc.batches import Batches
from learntoask.rpc.calls import REQUEST_ID
from learntoask.wire import ask_pb2 as wire
from learntoask.wire.ask_pb2_grpc import AskServiceStub

_LARGE_BYTES = 16_384  # of a request that goes alone, because others would wait behind it
_MOST_CALLS = 32  # in one message, which is then far smaller than what a server reads
_APART_SECONDS = 0.005  # between messages under load: calls that share one cost a fraction of calls alone
_LIFETIME_SECONDS = 300.0  # of a stream: one without end would keep a connection that is to be renewed
_TRY_AGAIN_SECONDS = 60.0  # after a server knew no streams: a later version may have taken its address
Metadata = tuple[tuple[str, str], ...]
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Asking:
    """Calls of Decide at the server behind `channel`. Construct it inside the event loop that runs it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = AskServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._stream: _Stream | None = None
        self._alone_until = -inf

    async def decide(
        self,
        request: wire.DecideRequest,
        *,
        token: Metadata,
        request_id: str,
        trace: Metadata,
        seconds: float,
    ) -> wire.Decision:
        """Return the server's decision. Raises AioRpcError with its status, DEADLINE_EXCEEDED after `seconds`.

        `token` is the metadata that tells the server who calls, `trace` those that continue the trace of the call.
        """
        now = time.monotonic()
        if now > self._alone_until and request.ByteSize() <= _LARGE_BYTES:
            try:
                return await self._open(token).decide(
                    request, request_id=request_id, trace=trace, seconds=seconds
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
            self._alone_until = time.monotonic() + _TRY_AGAIN_SECONDS
            seconds += now - time.monotonic()
        metadata = (*token, (REQUEST_ID, request_id), *trace)
        response = await self.stub.Decide(request, timeout=seconds, metadata=metadata)
        return response.decision

    def leave(self) -> None:
        """Begin no more calls in the stream of now; it ends once those that were begun are answered."""
        if self._stream is not None:
            self._stream.leave()

    def _open(self, token: Metadata) -> _Stream:
        if self._stream is None or not self._stream.is_open:
            self._stream = _Stream(self.stub.DecideMany(metadata=token))
        return self._stream


class _Stream:
    """One stream of DecideMany. It is left after a while, and when the server says that it drains."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._left = False
        self._until = self._loop.time() + _LIFETIME_SECONDS
        self._waiting: dict[int, asyncio.Future[wire.Decision]] = {}
        self._numbers = itertools.count(1)
        self._sent = -inf
        self._out: Batches[wire.DecideManyRequest.Call | int | None] = Batches(
            self._send, most=_MOST_CALLS, pause=self._pause
        )
        self._reading = asyncio.create_task(self._read())

    @property
    def is_open(self) -> bool:
        """Whether calls may begin in it."""
        if not self._left and self._loop.time() > self._until:
            self.leave()
        return not self._left

    async def decide(
        self, request: wire.DecideRequest, *, request_id: str, trace: Metadata, seconds: float
    ) -> wire.Decision:
        """Return the decision. Raises AioRpcError with the status of the call, or of the stream if that ends."""
        number = next(self._numbers)
        answer: asyncio.Future[wire.Decision] = self._loop.create_future()
        self._waiting[number] = answer
        timer = self._loop.call_later(seconds, _expire, answer)
        self._out.put(
            wire.DecideManyRequest.Call(
                id=number, request=request, seconds=seconds, request_id=request_id, metadata=dict(trace)
            )
        )
        try:
            return await answer
        finally:
            timer.cancel()
            if self._waiting.pop(number, None) is not None and not self._reading.done():
                self._out.put(number)  # tells the server that nobody waits for this answer

    def leave(self) -> None:
        """Begin no more calls."""
        if not self._left:
            self._left = True
            self._out.put(None)

    async def _read(self) -> None:
        failure = _status(grpc.StatusCode.UNAVAILABLE, "the server has ended the stream")
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                if response.draining:
                    self.leave()
                for result in response.results:
                    self._settle(result)
        except grpc.aio.AioRpcError as error:
            failure = error
        finally:
            self._left = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(failure)
            self._waiting.clear()

    def _settle(self, result: wire.DecideManyResponse.Result) -> None:
        answer = self._waiting.pop(result.id, None)
        if answer is None or answer.done():
            return
        if result.HasField("decision"):
            answer.set_result(result.decision)
        else:
            code = _CODES.get(result.failure.code, grpc.StatusCode.UNKNOWN)
            answer.set_exception(_status(code, result.failure.message))

    def _pause(self) -> float:
        """Return the seconds until the next message, if calls come one after the other; else none."""
        return self._sent + _APART_SECONDS - self._loop.time() if len(self._waiting) > 1 else 0.0

    async def _send(self, batch: list[wire.DecideManyRequest.Call | int | None]) -> None:
        calls = [item for item in batch if isinstance(item, wire.DecideManyRequest.Call)]
        cancelled = [item for item in batch if isinstance(item, int)]
        self._sent = self._loop.time()
        try:
            if calls or cancelled:
                await self._call.write(wire.DecideManyRequest(calls=calls, cancelled=cancelled))
            if None in batch:
                await self._call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            self._left = True  # reading tells of the end


def _expire(answer: asyncio.Future[wire.Decision]) -> None:
    if not answer.done():
        answer.set_exception(
            _status(grpc.StatusCode.DEADLINE_EXCEEDED, "the server has not answered in time")
        )


def _status(code: grpc.StatusCode, message: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=message)
