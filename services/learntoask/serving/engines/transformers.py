"""The engine that decodes with this project's decoder: one thread, continuous batching, a prefix cache.

Requests join and leave the batch between its steps, and each step reads the weights once for all of them. Keys and
values of a conversation are kept for its next turn and for conversations with the same beginning (task, system prompt).
Answers that resemble earlier ones take fewer steps (`decoding.drafts`).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from learntoask.core.prompt import Context
from learntoask.decoding.branch import Branch, Trunk, decision_branches
from learntoask.decoding.decoder import Decoder
from learntoask.decoding.drafts import EarlierAnswers
from learntoask.policy.model import Policy
from learntoask.serving.engines.protocol import Draft, TokenUsage


class EngineClosed(Exception):
    """The engine was closed before the request was answered."""


@dataclass(eq=False)
class _Request:
    task: str
    tokens: tuple[int, ...]
    barred: tuple[tuple[int, ...], ...]
    answer: asyncio.Future[Draft]
    loop: asyncio.AbstractEventLoop
    abandoned: bool = False  # set by the caller's thread, read by the engine's between steps


@dataclass(eq=False)
class _RunningRequest:
    """A request in the batch: one branch decodes the answer, one scores the stop string for its probability."""

    request: _Request
    trunk: Trunk
    answer: Branch
    stop: Branch


@dataclass
class _Inbox:
    """Requests that callers pass to the engine's thread."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    waiting: deque[_Request] = field(default_factory=deque)
    closed: bool = False


class TransformersEngine:
    """An Engine that decodes greedily.

    `cache_bytes` bounds keys and values kept between calls. `threads` is the number for torch, None for its default.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        max_concurrent: int,
        max_new_tokens: int,
        cache_bytes: int,
        threads: int | None = None,
    ) -> None:
        self._policy = policy
        self._max_concurrent = max_concurrent
        self._max_new_tokens = max_new_tokens
        self._cache_bytes = cache_bytes
        self._threads = threads
        self._token_bytes = _bytes_per_token(policy)
        self._kept_tokens = cache_bytes // self._token_bytes
        self._earlier = EarlierAnswers()
        self._decoder = self._new_decoder()
        self._running: list[_RunningRequest] = []
        self._inbox = _Inbox()
        # Tokenizing a long conversation must not delay decoding. One thread, because tokenizers are not thread-safe.
        self._rendering = ThreadPoolExecutor(1, thread_name_prefix="rendering")
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        return self._policy.stop_tokens

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        loop = asyncio.get_running_loop()
        if self._inbox.closed:
            raise EngineClosed
        tokens = await loop.run_in_executor(self._rendering, self._policy.context_tokens, context)
        request = _Request(context.task, tokens, barred, loop.create_future(), loop)
        with self._inbox.changed:
            if self._inbox.closed:
                raise EngineClosed
            self._inbox.waiting.append(request)
            self._inbox.changed.notify()
        try:
            return await request.answer
        finally:
            request.abandoned = True
            with self._inbox.changed, suppress(ValueError):
                self._inbox.waiting.remove(request)

    async def with_weights(self, folder: Path) -> TransformersEngine:
        model = await asyncio.to_thread(
            AutoModelForCausalLM.from_pretrained, folder, dtype=self._policy.model.dtype
        )
        await self.close()
        return TransformersEngine(
            replace(self._policy, model=model.to(self._policy.model.device).eval()),
            max_concurrent=self._max_concurrent,
            max_new_tokens=self._max_new_tokens,
            cache_bytes=self._cache_bytes,
            threads=self._threads,
        )

    def cache_bytes(self) -> int:
        return self._decoder.idle_tokens * self._token_bytes

    async def close(self) -> None:
        with self._inbox.changed:
            self._inbox.closed = True
            self._inbox.changed.notify()
        await asyncio.to_thread(self._thread.join)
        self._rendering.shutdown(wait=False)

    def _work(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        while (requests := self._next_requests()) is not None:
            try:
                self._step(requests)
            except Exception as error:  # a fault of one step must not end the server
                self._fail_all(error)
        self._fail_all(EngineClosed("the server stopped before the answer"))

    def _next_requests(self) -> list[_Request] | None:
        """Wait for work and return the requests that the batch has room for, None once the engine is closed."""
        inbox = self._inbox
        with inbox.changed:
            inbox.changed.wait_for(lambda: inbox.closed or inbox.waiting or self._running)
            if inbox.closed:
                return None
            room = self._max_concurrent - len(self._running)
            return [inbox.waiting.popleft() for _ in range(min(room, len(inbox.waiting)))]

    def _step(self, requests: list[_Request]) -> None:
        self._remove_finished()
        joined = [self._begin(request) for request in requests if not request.abandoned]
        self._running += joined
        if joined:
            self._decoder.admit([running.trunk for running in joined])
        self._decoder.step()
        self._remove_finished()

    def _begin(self, request: _Request) -> _RunningRequest:
        answer, stop = decision_branches(
            len(request.tokens),
            self._max_new_tokens,
            stop=self._policy.stop_tokens,
            stop_beginning=self._policy.stop_beginning,
            threshold=self._policy.stop_threshold,
            barred=request.barred,
        )
        trunk = Trunk(np.asarray(request.tokens, dtype=np.int64), [answer, stop])
        return _RunningRequest(request, trunk, answer, stop)

    def _remove_finished(self) -> None:
        """Deliver finished answers and cancel abandoned requests."""
        staying = []
        for running in self._running:
            branches = (running.answer, running.stop)
            if all(branch.done for branch in branches):
                _settle(running.request, self._draft(running))
            elif running.request.abandoned:
                for branch in branches:
                    self._decoder.cancel(branch)
            else:
                staying.append(running)
        self._running = staying

    def _draft(self, running: _RunningRequest) -> Draft:
        branch = running.answer.outcome
        answer = self._policy.answer(branch.tokens, running.request.task)
        return Draft(
            answer.text,
            sum(running.stop.logprobs),
            TokenUsage(len(running.trunk.tokens), running.trunk.shared, len(branch.tokens)),
            tuple(branch.tokens),
            tuple(branch.logprobs),
            self._policy.missing(answer, branch.tokens, branch.logprobs),
            answer.malformed,
        )

    def _fail_all(self, error: Exception) -> None:
        """Fail all running requests, and waiting ones if the engine is closed; then start with a new decoder."""
        with self._inbox.changed:
            waiting = list(self._inbox.waiting) if self._inbox.closed else []
        for request in [running.request for running in self._running] + waiting:
            _settle(request, error)
        self._running = []
        self._decoder = self._new_decoder()

    def _new_decoder(self) -> Decoder:
        return Decoder(
            self._policy.model,
            ends=self._policy.ends,
            kept_tokens=self._kept_tokens,
            earlier=self._earlier,
        )


def _settle(request: _Request, outcome: Draft | Exception) -> None:
    """Deliver the outcome to the caller's event loop."""

    def settle() -> None:
        if request.answer.done():
            return
        if isinstance(outcome, Exception):
            request.answer.set_exception(outcome)
        else:
            request.answer.set_result(outcome)

    request.loop.call_soon_threadsafe(settle)


def _bytes_per_token(policy: Policy) -> int:
    """Return the memory of one token's keys and values."""
    config = policy.model.config
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return int(config.num_hidden_layers * 2 * kv_heads * width * policy.model.dtype.itemsize)
