"""Decoding on trees draws the tokens, with the log-probabilities, that decoding each context by itself draws."""

from __future__ import annotations

import random
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.decoding.attention import additive_mask, attention, merge_attention
from learntoask.decoding.branch import Branch, Trunk, draw, uniforms
from learntoask.decoding.decoder import Decoder
from learntoask.decoding.drafts import FREE_TOKENS, MOST_AHEAD, EarlierAnswers
from learntoask.decoding.prefill import MIN_SHARED
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")),
]
VOCABULARY = 23
ENDS = frozenset({1})


def model_of(kind: type[PreTrainedModel], config: type[LlamaConfig | Qwen3Config]) -> PreTrainedModel:
    torch.manual_seed(0)
    model = kind(
        config(
            vocab_size=VOCABULARY,
            hidden_size=48,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=512,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(
                    6
                )  # fresh weights attend almost uniformly, which would hide faults of the mask
    return model.eval()


MODELS = {
    "llama": model_of(LlamaForCausalLM, LlamaConfig),
    "qwen3": model_of(Qwen3ForCausalLM, Qwen3Config),
}


def assert_as_by_itself(model: PreTrainedModel, trunk: Trunk) -> None:
    """Each token is the one its branch's rule picks, given those before it, from a plain forward pass, no cache."""
    for branch in trunk.branches:
        context = trunk.tokens[: branch.attach].tolist()
        with torch.no_grad():
            logits = model(torch.tensor([context + branch.tokens])).logits[0, branch.attach - 1 : -1].float()
        logs = torch.log_softmax(logits / branch.temperature, dim=-1)
        if branch.forced:
            expected = list(branch.forced)
        elif branch.numbers is None:
            expected = logits.argmax(dim=-1).tolist()
        else:
            numbers = torch.from_numpy(branch.numbers[: len(branch.tokens), None])
            expected = (logs.double().exp().cumsum(-1) <= numbers).sum(-1).tolist()
        assert branch.tokens == expected
        np.testing.assert_allclose(branch.logprobs, logs[range(len(expected)), expected], atol=1e-4)
        ends = [token in ENDS and not branch.forced for token in branch.tokens]
        assert not any(ends[:-1])
        assert branch.ended == ends[-1]
        assert branch.ended or len(branch.tokens) == (len(branch.forced) or branch.max_new_tokens)


tokens = st.integers(0, VOCABULARY - 1)


@st.composite
def branches(draw_: st.DrawFn, size: int, key: int) -> Branch:
    attach = draw_(st.integers(1, size))
    limit = draw_(st.sampled_from([1, 4, 19]))  # 19 passes the first capacity of the branches' caches
    kind = draw_(st.sampled_from(["greedy", "sampled", "forced"]))
    if kind == "forced":
        return Branch(attach, 1, forced=tuple(draw_(st.lists(tokens, min_size=1, max_size=5))))
    if kind == "greedy":
        return Branch(attach, limit)
    temperature = draw_(st.sampled_from([0.5, 1.0, 1.7]))
    return Branch(attach, limit, temperature, uniforms(key, draw_(st.integers(0, 3)), count=limit))


@st.composite
def forests(draw_: st.DrawFn) -> list[Trunk]:
    """Trunks of which some begin alike, for longer and for shorter than is worth sharing."""
    beginning = [random.Random(draw_(st.integers(0, 3))).randrange(VOCABULARY) for _ in range(MIN_SHARED + 6)]
    trunks = []
    for key in range(draw_(st.integers(1, 4))):
        shared = draw_(st.sampled_from([0, 5, MIN_SHARED + 1, MIN_SHARED + 6]))
        context = beginning[:shared] + draw_(st.lists(tokens, min_size=1, max_size=9))
        own = [draw_(branches(len(context), key)) for _ in range(draw_(st.integers(1, 5)))]
        trunks.append(Trunk(np.array(context), own))
    return trunks


def remembered(answers: list[list[int]]) -> EarlierAnswers:
    earlier = EarlierAnswers()
    for answer in answers:
        earlier.remember(answer)
    return earlier


@cache
def model_on(device: str, kind: str) -> PreTrainedModel:
    return deepcopy(MODELS[kind]).to(device)


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(MODELS)),
    trunks=forests(),
    waits=st.lists(st.integers(0, 3), min_size=4),
    earlier=st.none() | st.lists(st.lists(tokens, max_size=12), max_size=40).map(remembered),
    twice=st.booleans(),
)
def test_every_branch_decodes_as_by_itself_whatever_is_guessed(
    device: str,
    kind: str,
    trunks: list[Trunk],
    waits: list[int],
    earlier: EarlierAnswers | None,
    twice: bool,
) -> None:
    decoder = Decoder(model_on(device, kind), ends=ENDS, kept_tokens=60, earlier=earlier)
    if twice:  # some guesses are right the second time
        decoder.admit(deepcopy(trunks))
        while decoder.rows:
            decoder.step()
    done = []
    for trunk, wait in zip(trunks, waits, strict=False):  # trunks join while others are under way
        done += decoder.admit([trunk])
        for _ in range(wait):
            done += decoder.step()
    while decoder.rows:
        done += decoder.step()

    for trunk in trunks:
        assert_as_by_itself(MODELS[kind], trunk)
    assert sorted(map(id, done)) == sorted(id(branch) for trunk in trunks for branch in trunk.branches)


@settings(max_examples=15, deadline=None)
@given(trunks=forests())
def test_trunks_admitted_together_share_their_beginnings_exactly(trunks: list[Trunk]) -> None:
    decoder = Decoder(MODELS["llama"], ends=ENDS)
    decoder.admit(trunks)
    while decoder.rows:
        decoder.step()

    for trunk in trunks:
        assert_as_by_itself(MODELS["llama"], trunk)


def test_equal_branches_are_one_row_until_they_part() -> None:
    trunk = Trunk(np.arange(2, 12), [Branch(10, 6) for _ in range(5)])
    decoder = Decoder(MODELS["llama"], ends=ENDS)
    decoder.admit([trunk])

    assert decoder.rows == 1


def steps_and_tokens(decoder: Decoder) -> tuple[int, list[int]]:
    branch = Branch(10, 19)
    return steps_of(decoder, branch), branch.tokens


def steps_of(decoder: Decoder, *branches: Branch) -> int:
    decoder.admit([Trunk(np.arange(2, 12), list(branches))])
    steps = 0
    while decoder.rows:
        decoder.step()
        steps += 1
    return steps


def test_an_answer_that_was_given_before_takes_a_few_steps() -> None:
    decoder = Decoder(MODELS["llama"], ends=frozenset(), earlier=EarlierAnswers())
    ends = frozenset({steps_and_tokens(decoder)[1][-1]})
    decoder = Decoder(MODELS["llama"], ends=ends, earlier=EarlierAnswers())
    first, again = steps_and_tokens(decoder), steps_and_tokens(decoder)

    assert first[1] == again[1]
    assert first[0] == len(first[1]) - 1
    assert again[0] == -(-first[0] // (MOST_AHEAD + 1))


def test_guesses_follow_most_answers_and_then_the_latest() -> None:
    earlier = EarlierAnswers()
    for answer in ([2, 3, 4, 5], [2, 3, 4, 5], [2, 3, 6, 7]):
        earlier.remember(answer)
    assert earlier.guess([2], 8) == (3, 4, 5)
    assert earlier.guess([2], 2) == (3, 4)
    assert earlier.guess([9, 9, 3, 6], 8) == (7,)  # the last two tokens tell, where the last six are new
    assert earlier.guess([9], 8) == ()
    for _ in range(3):
        earlier.remember([2, 3, 6, 7])
    assert earlier.guess([2], 8) == (3, 6, 7)


def test_a_forced_answer_takes_a_few_steps_where_a_step_has_room() -> None:
    forced = tuple(range(2, 2 + MOST_AHEAD + 2))

    assert steps_of(Decoder(MODELS["llama"], ends=ENDS), Branch(10, 1, forced=forced)) == 1
    full = [Branch(10, 1, forced=forced)] + [
        Branch(attach, 19, 1.0, uniforms("full", attach, other, count=19))
        for attach in range(1, 10)
        for other in range(FREE_TOKENS)
    ]
    assert steps_of(Decoder(MODELS["llama"], ends=frozenset()), *full) >= len(forced) - 1


def test_a_continued_conversation_is_read_from_where_it_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["llama"]
    read: list[int] = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **inputs: read.append(inputs["input_ids"].shape[1]) or forward(**inputs)
    )
    turn = [random.Random(7).randrange(VOCABULARY) for _ in range(MIN_SHARED + 8)]
    first = Trunk(np.array(turn), [Branch(len(turn), 1)])
    later = Trunk(np.array([*turn, 3, 4, 5]), [Branch(len(turn) + 3, 4)])
    decoder = Decoder(model, ends=ENDS, kept_tokens=100)
    decoder.admit([first])
    decoder.admit([later])

    assert read == [len(turn), 3]
    while decoder.rows:
        decoder.step()
    monkeypatch.undo()
    assert_as_by_itself(model, later)


def test_of_idle_trunks_the_most_recent_are_kept_and_none_twice() -> None:
    decoder = Decoder(MODELS["llama"], ends=ENDS, kept_tokens=95)
    starts = [np.full(40, start) for start in (3, 4, 5)]
    longer = np.concatenate([starts[1], [6, 7, 8]])
    trunks = [Trunk(tokens, [Branch(len(tokens), 1)]) for tokens in [*starts, longer]]
    for trunk in trunks:
        decoder.admit([trunk])

    assert [bool(trunk.cache) for trunk in trunks] == [False, False, True, True]
    assert decoder.idle_tokens == 40 + 43


def test_without_a_bound_to_keep_nothing_is_held() -> None:
    trunk = Trunk(np.arange(2, 12), [Branch(10, 3)])
    decoder = Decoder(MODELS["llama"], ends=frozenset())
    decoder.admit([trunk])
    assert decoder.trunk_tokens == 10
    decoder.step()
    decoder.step()

    assert decoder.trunk_tokens == 0
    assert not trunk.cache


def test_a_cancelled_branch_leaves_the_others_as_they_were() -> None:
    trunk = Trunk(
        np.arange(2, 12),
        [Branch(attach, 9, 1.0, uniforms("c", attach, count=9)) for attach in (4, 7, 10)],
    )
    decoder = Decoder(MODELS["llama"], ends=frozenset())
    decoder.admit([trunk])
    decoder.step()
    gone = trunk.branches.pop(1)
    decoder.cancel(gone)
    assert decoder.rows == 2
    while decoder.rows:
        decoder.step()

    assert len(gone.tokens) == 2
    for branch in trunk.branches:
        assert len(branch.tokens) == 9
        context = trunk.tokens[: branch.attach].tolist()
        logs = torch.log_softmax(
            MODELS["llama"](torch.tensor([context + branch.tokens])).logits[0].float(), -1
        )
        expected = logs[range(branch.attach - 1, branch.attach + 8), branch.tokens]
        np.testing.assert_allclose(branch.logprobs, expected.detach(), atol=1e-4)


def test_a_model_in_training_goes_on_training() -> None:
    model = model_of(LlamaForCausalLM, LlamaConfig).train()
    before = model.config._attn_implementation
    decoder = Decoder(model, ends=ENDS)
    decoder.admit([Trunk(np.arange(2, 12), [Branch(10, 4)])])
    decoder.step()

    assert model.training
    assert model.config._attn_implementation == before
    model(torch.arange(2, 12)[None], labels=torch.arange(2, 12)[None]).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_interrupted_step_leaves_the_model_as_it_was() -> None:
    model = MODELS["llama"]
    before = model.config._attn_implementation
    with pytest.raises(IndexError):
        Decoder(model, ends=ENDS).admit([Trunk(np.array([VOCABULARY + 5]), [Branch(1, 1)])])

    assert model.config._attn_implementation == before


@pytest.mark.parametrize("vocabulary", [4, 256, 700])
def test_draw_gives_every_token_its_share(vocabulary: int) -> None:
    torch.manual_seed(2)
    logs = torch.log_softmax(3 * torch.randn(2, vocabulary), dim=-1)
    logs[0, 1] = float("-inf")
    count = 20000
    numbers = torch.arange(count, dtype=torch.float64).add(0.5) / count
    rows = torch.tensor([0] * count + [1] * count)
    tokens = draw(logs, rows, torch.cat([numbers, numbers.flip(0)]))

    for row, drawn in enumerate(tokens.split(count)):
        shares = torch.bincount(drawn, minlength=vocabulary) / count
        np.testing.assert_allclose(shares, logs[row].softmax(-1), atol=1.5 / count)
    assert draw(logs, torch.tensor([0]), torch.tensor([1 - 1e-16], dtype=torch.float64)) < vocabulary


def test_uniforms_follow_from_their_key_alone() -> None:
    assert uniforms(0, "s", 1, count=8).tolist() == uniforms(0, "s", 1, count=20)[:8].tolist()
    streams = [
        uniforms(*key, count=4).tolist() for key in [(0, "s", 1), (1, "s", 1), (0, "s", 2), (0, "s1", "")]
    ]
    assert len({tuple(stream) for stream in streams}) == 4
    assert all(0 <= number < 1 for stream in streams for number in stream)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merging_two_attentions_is_attention_over_both(device: str, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    query, key, value = (torch.randn(1, 2, size, 8, device=device).to(dtype) for size in (3, 10, 10))
    hidden = torch.arange(4, device=device) > torch.tensor([[0], [2], [3]], device=device)
    mask = additive_mask(hidden, dtype=dtype)[None, None]
    one = attention(query, key[:, :, :4], value[:, :, :4], scale=0.3, mask=mask)
    other = attention(query, key[:, :, 4:], value[:, :, 4:], scale=0.3)
    whole = torch.cat((mask, mask.new_zeros(1, 1, 3, 6)), dim=-1)

    torch.testing.assert_close(
        merge_attention(one[0], one[1], other[0], other[1]),
        scaled_dot_product_attention(query, key, value, attn_mask=whole, scale=0.3),
        **({"atol": 2e-2, "rtol": 2e-2} if dtype == torch.bfloat16 else {}),
    )


@pytest.mark.parametrize("device", DEVICES)
def test_causal_attention_hides_later_tokens(device: str) -> None:
    torch.manual_seed(1)
    query, key, value = (torch.randn(1, 2, 7, 8, device=device) for _ in range(3))

    torch.testing.assert_close(
        attention(query, key, value, scale=0.3, causal=True)[0],
        scaled_dot_product_attention(query, key, value, is_causal=True, scale=0.3),
    )
