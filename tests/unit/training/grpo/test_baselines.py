"""DPO and reward-weighted SFT on packed trees are what they are on plain padded rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.training.grpo import baselines
from learntoask.training.grpo.advantages import preferences
from learntoask.training.grpo.loss import CompletionFacts, Pairs
from learntoask.training.tree.attention import enable_tree_attention
from learntoask.training.tree.layout import Completion, SessionTree, pack_micro_batch
from learntoask.training.tree.scoring import score
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import LlamaConfig, LlamaForCausalLM

BETA = 0.3
tokens = st.lists(st.integers(0, 30), min_size=1, max_size=6).map(tuple)


def model_of(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = {"vocab_size": 31, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    model = LlamaForCausalLM(LlamaConfig(**shape, **heads))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    enable_tree_attention(model)
    return model


POLICY, REFERENCE = model_of(0), model_of(1)
FORCED = (7, 8)


def padded(model: LlamaForCausalLM, prompts: list[tuple], answers: list[tuple]) -> Tensor:
    """Log-probability of every answer, each in a right-padded row, by ordinary causal attention."""
    rows = [(*prompt, *answer) for prompt, answer in zip(prompts, answers, strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    logs = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float().log_softmax(-1)
    found = logs[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
    starts = [len(prompt) - 1 for prompt in prompts]
    spans = zip(found, starts, map(len, answers), strict=True)
    return torch.stack([row[start : start + length].sum() for row, start, length in spans])


def gradient(loss: Tensor) -> Tensor:
    POLICY.zero_grad()
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in POLICY.parameters()])


@st.composite
def points(draw: st.DrawFn) -> list[tuple[int, list[tuple], list[float], list[int]]]:
    """(attach, distinct answers, rewards, counts) of each decision point of a trunk of 12 tokens."""
    found = []
    for attach in draw(st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True)):
        answers = draw(st.lists(tokens, min_size=1, max_size=4, unique=True))
        rewards = [float(draw(st.integers(0, 2))) for _ in answers]
        found.append((attach, answers, rewards, [draw(st.integers(1, 3)) for _ in answers]))
    return found


def packed(trunk: tuple, drawn: list) -> tuple:
    """The micro-batch with a forced branch (which must not count) at every point, and the facts with its pairs."""
    completions, contexts, rewards, counts = [], [], [], []
    for attach, answers, worth, times in drawn:
        start = len(completions)
        completions += [Completion(attach, answer) for answer in (FORCED, *answers)]
        contexts += [start] * (1 + len(answers))
        rewards += [0.0, *worth]
        counts += [0, *times]
    row = pack_micro_batch([SessionTree(trunk, tuple(completions))])
    found = preferences(contexts=contexts, rewards=rewards, counts=counts)
    paired = max(1, len({contexts[pair.better] for pair in found}))
    pairs = Pairs(
        better=torch.tensor([pair.better for pair in found], dtype=torch.long),
        worse=torch.tensor([pair.worse for pair in found], dtype=torch.long),
        weight=torch.tensor([pair.share / paired for pair in found]),
    )
    nothing = torch.zeros(len(counts))
    facts = CompletionFacts(
        lengths=torch.from_numpy(row.lengths),
        weight=torch.tensor(counts) / sum(counts),
        advantage=torch.tensor(rewards),
        stop=torch.tensor(counts) == 0,
        truth=nothing.long(),
        decision_weight=nothing,
        hold_weight=nothing,
        stop_of=torch.tensor(contexts),
        pairs=pairs,
    )
    return row, facts


@settings(max_examples=40, deadline=None, derandomize=True)
@given(trunk=st.lists(st.integers(0, 30), min_size=12, max_size=12).map(tuple), drawn=points())
def test_dpo_on_a_tree_is_dpo_on_padded_rows(trunk: tuple, drawn: list) -> None:
    row, facts = packed(trunk, drawn)
    with torch.no_grad():
        reference = score(REFERENCE, row).logprobs
    found = baselines.dpo(score(POLICY, row).logprobs, reference=reference, facts=facts, beta=BETA)

    groups = []
    for attach, answers, worth, times in drawn:
        # Every sample separately, as in a list of pairs of texts.
        samples = [
            (answer, reward)
            for answer, reward, count in zip(answers, worth, times, strict=True)
            for _ in range(count)
        ]
        pairs = [(a, b) for a, reward in samples for b, other in samples if reward > other]
        if pairs:
            groups.append((trunk[:attach], pairs))
    if not groups:
        assert float(found.loss.detach()) == 0
        return
    losses = []
    for prompt, pairs in groups:
        prompts = [prompt] * len(pairs)
        better, worse = [a for a, _ in pairs], [b for _, b in pairs]
        with torch.no_grad():
            anchor = padded(REFERENCE, prompts, better) - padded(REFERENCE, prompts, worse)
        margin = padded(POLICY, prompts, better) - padded(POLICY, prompts, worse) - anchor
        losses.append(-logsigmoid(BETA * margin).mean())
    plain = torch.stack(losses).mean()
    torch.testing.assert_close(found.loss, plain, atol=1e-4, rtol=1e-4)
    expected = gradient(plain)
    difference = (gradient(found.loss) - expected).norm() / expected.norm().clamp_min(1e-5)
    assert difference < 1e-3


def test_reward_weighted_learning_is_supervised_learning_with_weights() -> None:
    trunk = tuple(range(12))
    drawn = [(4, [(1, 2), (3,)], [2.0, 0.0], [1, 2]), (12, [(5, 6, 7)], [1.0], [3])]
    row, facts = packed(trunk, drawn)
    with torch.no_grad():
        reference = score(REFERENCE, row).logprobs
    found = baselines.reward_weighted(score(POLICY, row).logprobs, reference=reference, facts=facts)
    logs = padded(POLICY, [trunk[:4], trunk[:4], trunk], [(1, 2), (3,), (5, 6, 7)])
    plain = -(1 * 2.0 * logs[0] / 2 + 3 * 1.0 * logs[2] / 3) / 6
    torch.testing.assert_close(found.loss, plain)
    torch.testing.assert_close(gradient(found.loss), gradient(plain), atol=1e-5, rtol=1e-3)


def test_the_sft_policy_itself_has_the_loss_of_a_coin() -> None:
    row, facts = packed(tuple(range(12)), [(4, [(1, 2), (3,)], [2.0, 0.0], [1, 2])])
    logs = score(POLICY, row).logprobs
    found = baselines.dpo(logs, reference=logs.detach(), facts=facts, beta=BETA)
    assert float(found.loss.detach()) == pytest.approx(0.6931, abs=1e-4)
    assert found.kl == 0
