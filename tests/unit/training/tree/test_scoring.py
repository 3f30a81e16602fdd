"""The tree computes what plain padded rows compute: log-probabilities, loss and the whole gradient."""

from __future__ import annotations

import itertools
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.errors import InputError
from learntoask.training.tree import attention_cpu, logprobs, scoring
from learntoask.training.tree.attention import enable_tree_attention
from learntoask.training.tree.attention_gpu import block_mask, block_predicate
from learntoask.training.tree.layout import Completion, SessionTree, fill_micro_batches, pack_micro_batch
from transformers import Qwen3Config, Qwen3ForCausalLM
from worlds.trees import SHAPE, VOCABULARY, gradients, model_of, padded_logprobs

MODELS = {kind: model_of(kind) for kind in ("llama", "qwen3")}
tokens = st.integers(0, VOCABULARY - 1)


@st.composite
def trees(draw: st.DrawFn) -> SessionTree:
    trunk = tuple(draw(st.lists(tokens, min_size=1, max_size=24)))
    attaches = draw(st.lists(st.integers(1, len(trunk)), min_size=1, max_size=4))
    completions = [
        Completion(attach, tuple(draw(st.lists(tokens, min_size=1, max_size=7))))
        for attach in attaches
        for _ in range(draw(st.integers(1, 3)))
    ]
    if draw(st.booleans()):  # an expert turn: the trunk itself goes on with the completion
        start = draw(st.integers(1, len(trunk)))
        if start < len(trunk):
            completions.append(Completion(start, trunk[start : draw(st.integers(start + 1, len(trunk)))]))
    return SessionTree(trunk=trunk, completions=tuple(draw(st.permutations(completions))))


@pytest.mark.parametrize("kind", sorted(MODELS))
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    forest=st.lists(trees(), min_size=1, max_size=3),
    weights=st.randoms(use_true_random=False),
    stretch=st.sampled_from([5, attention_cpu.STRETCH]),
)
def test_equals_padded_rows(kind: str, forest: list[SessionTree], weights, stretch: int) -> None:
    model = MODELS[kind]
    packed = pack_micro_batch(forest)
    assert len(packed.tokens) == sum(tree.size for tree in forest)
    expected = padded_logprobs(model, forest)
    with patch.object(attention_cpu, "STRETCH", stretch):
        scores = scoring.score(model, packed).logprobs
    pieces = scores.split(packed.lengths.tolist())
    assert [len(piece) for piece in pieces] == [len(piece) for piece in expected]
    for piece, plain in zip(pieces, expected, strict=True):
        torch.testing.assert_close(piece, plain, atol=2e-4, rtol=1e-4)

    # A loss that weighs every token on its own, so that no two errors can cancel.
    weight = torch.tensor([weights.uniform(-1, 1) for _ in range(len(packed.targets))])
    loss, plain_loss = (weight * scores).sum(), (weight * torch.cat(expected)).sum()
    torch.testing.assert_close(loss, plain_loss, atol=2e-3, rtol=1e-4)
    plain_gradient = gradients(model, plain_loss)
    difference = (gradients(model, loss) - plain_gradient).norm() / plain_gradient.norm().clamp_min(1e-6)
    assert difference < 1e-4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(forest=st.lists(trees(), min_size=1, max_size=3))
def test_mask_lets_a_token_see_its_own_path_only(forest: list[SessionTree]) -> None:
    """The three integers a token, and the GPU predicate, say what the paths of the trees say."""
    packed = pack_micro_batch(forest)
    size = len(packed.tokens)
    path: list[set[int]] = []
    for span in packed.spans:
        path += [set(range(span.start, index + 1)) for index in range(span.start, span.stop)]
        for group in span.groups:
            start = group.start
            for length in group.lengths:
                prefix = set(range(span.start, span.start + group.prefix))
                path += [prefix | set(range(start, index + 1)) for index in range(start, start + length)]
                start += length
    expected = torch.tensor([[key in seen for key in range(size)] for seen in path])
    index = torch.arange(size)
    assert torch.equal(torch.from_numpy(packed.sees(index[:, None].numpy(), index[None].numpy())), expected)
    predicate = block_predicate(packed, torch.device("cpu"))
    zero = torch.zeros((), dtype=torch.long)
    assert torch.equal(predicate(zero, zero, index[:, None], index[None]), expected)

    block = 4
    mask = block_mask(packed, torch.device("cpu"), block=block)
    blocks = -(-size // block)
    padded = torch.zeros(blocks * block, blocks * block, dtype=torch.bool)
    padded[:size, :size] = expected
    tiles = padded.view(blocks, block, blocks, block).transpose(1, 2).flatten(2)
    assert torch.equal(mask.to_dense()[0, 0].bool(), tiles.any(-1))
    for query in range(blocks):
        whole = mask.full_kv_indices[0, 0, query, : mask.full_kv_num_blocks[0, 0, query]]
        assert tiles[query].all(-1)[whole.long()].all()


def test_blocks_that_all_see_need_no_mask() -> None:
    packed = pack_micro_batch(
        [SessionTree(tuple(range(16)), (Completion(8, (1, 2, 3, 4, 5)), Completion(16, (1,))))]
    )
    mask = block_mask(packed, torch.device("cpu"), block=4)
    assert mask.full_kv_num_blocks[0, 0].tolist() == [0, 1, 2, 3, 2]  # four of the trunk, the branch
    assert mask.kv_num_blocks[0, 0].tolist() == [1] * 5


def test_recomputed_logits_give_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["llama"]
    packed = pack_micro_batch(
        [SessionTree(tuple(range(20)), tuple(Completion(a, (1, 2, 3, 4, 5)) for a in (3, 9, 20)))]
    )
    whole = gradients(model, scoring.score(model, packed).logprobs.sum())
    monkeypatch.setattr(scoring, "CHUNK", 4 * VOCABULARY)
    torch.testing.assert_close(gradients(model, scoring.score(model, packed).logprobs.sum()), whole)


def test_parts_have_the_gradient_of_their_sum() -> None:
    """In float64, where a wrong term cannot hide; two trees, branches of several lengths, a trunk in stretches."""
    torch.manual_seed(0)
    branches = [Completion(3, (1, 2, 3)), Completion(3, (4, 5, 6)), Completion(7, (1, 2, 3, 4, 5))]
    packed = pack_micro_batch(
        [SessionTree(tuple(range(8)), tuple(branches)), SessionTree((1, 2), (Completion(2, (3, 4)),))]
    )
    size = len(packed.tokens)
    query, key, value = (
        torch.randn(2, size, *inner, dtype=torch.float64, requires_grad=True)
        for inner in ((2, 3), (3,), (3,))
    )
    with patch.object(attention_cpu, "STRETCH", 3):
        parts = attention_cpu.attention_parts(packed.spans)
    assert len(parts.own) == 3 + 1 + 3  # stretches of both trunks, branches of one, two and four tokens

    def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return attention_cpu.PartwiseAttention.apply(query, key, value, parts, 0.5)

    index = torch.arange(size)
    hidden = ~torch.from_numpy(packed.sees(index[:, None].numpy(), index[None].numpy()))
    scores = torch.einsum("hqfd,hkd->hfqk", query, key) * 0.5
    plain = torch.einsum("hfqk,hkd->hqfd", scores.masked_fill(hidden, float("-inf")).softmax(-1), value)
    torch.testing.assert_close(attention(query, key, value), plain)
    assert torch.autograd.gradcheck(attention, (query, key, value))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_equal_log_softmax(dtype: torch.dtype, temperature: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 13) * 20
    logits[3, 12] = logits[3].max() + 5  # nearly certain: gradients that almost cancel
    logits = logits.to(dtype).requires_grad_()
    rows, targets = torch.tensor([0, 0, 0, 2, 3, 3, 6, 5]), torch.tensor([1, 1, 4, 0, 12, 7, 7, 3])
    weights = torch.randn(8)
    logs = torch.log_softmax(logits.to(torch.promote_types(dtype, torch.float32)) / temperature, dim=-1)
    expected = logs[rows, targets]
    (gradient,) = torch.autograd.grad((expected * weights).sum(), logits)
    with patch.object(logprobs, "CACHED", 3 * 13):  # three rows at a time
        found, entropies = logprobs.LogProbabilities.apply(logits, rows, targets, temperature)
        assert not entropies.requires_grad
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(entropies, -(logs.exp() * logs).sum(1)[rows])
        again = torch.autograd.grad((found * weights).sum(), logits)[0]
        torch.testing.assert_close(again, gradient, atol=1e-6, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5)


def test_temperature_and_entropy() -> None:
    model = MODELS["llama"]
    tree = SessionTree((1, 2, 3), (Completion(3, (4, 5)),))
    logits = model(torch.tensor([[1, 2, 3, 4]]), use_cache=False).logits[0, 2:].float() / 0.5
    scores = scoring.score(model, pack_micro_batch([tree]), temperature=0.5)
    expected = logits.log_softmax(-1)
    torch.testing.assert_close(scores.logprobs, expected[[0, 1], [4, 5]])
    torch.testing.assert_close(scores.entropies, torch.distributions.Categorical(logits=logits).entropy())


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"layer_types": ["sliding_attention", "full_attention"]}, "sliding_attention"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "linear_attention"),
        ({"attention_dropout": 0.1}, "attention dropout"),
    ],
)
def test_refuses_what_a_tree_would_compute_wrongly(change: dict, finding: str) -> None:
    model = Qwen3ForCausalLM(Qwen3Config(**SHAPE))
    for name, value in change.items():
        setattr(model.config, name, value)
    with pytest.raises(InputError, match=finding):
        enable_tree_attention(model)


def test_a_completion_must_attach_inside_the_trunk() -> None:
    with pytest.raises(ValueError, match="cannot attach at 4"):
        SessionTree((1, 2, 3), (Completion(4, (1,)),))


@given(sizes=st.lists(st.integers(1, 50), max_size=30), budget=st.integers(1, 60))
def test_rows_keep_order_and_budget(sizes: list[int], budget: int) -> None:
    rows = fill_micro_batches(sizes, budget=budget)
    assert [index for row in rows for index in row] == list(range(len(sizes)))
    assert all(len(row) == 1 or sum(sizes[index] for index in row) <= budget for row in rows)
    # Greedy: no row could have taken the next tree as well.
    for row, following in itertools.pairwise(rows):
        assert sum(sizes[index] for index in row) + sizes[following[0]] > budget
