"""On a GPU the tree computes what padded rows compute: FlexAttention with the block mask of the micro-batch."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from learntoask.training.tree import scoring
from learntoask.training.tree.layout import Completion, SessionTree, pack_micro_batch
from torch import Tensor
from transformers import PreTrainedModel
from worlds.trees import VOCABULARY, gradients, model_of, padded_logprobs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

TINY = 6
SEEDS = range(TINY + 1)


@pytest.fixture(autouse=True)
def on_gpu() -> Iterator[None]:
    with torch.device("cuda"):
        yield


@pytest.fixture(scope="module", params=[("llama", 32), ("qwen3", 64)], ids="{0[0]}-{0[1]}".format)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    kind, head_dim = request.param
    torch.compiler.reset()  # tests need more kernel variants than the limit of a process, a run far fewer
    return model_of(kind, head_dim=head_dim, scale=4).cuda()


def forest(seed: int) -> list[SessionTree]:
    """Trees of tens to hundreds of tokens, so that micro-batches have several blocks, seen whole and in part.

    Seed TINY gives a micro-batch smaller than a block.
    """
    draw = random.Random(seed)
    if seed == TINY:
        return [SessionTree((1, 2, 3), (Completion(2, (4, 5)), Completion(3, (6, 7, 8))))]

    def words(most: int) -> tuple[int, ...]:
        return tuple(draw.choices(range(VOCABULARY), k=draw.randint(1, most)))

    trees = []
    for _ in range(1 + seed % 4):
        trunk = words(40 if seed % 3 == 0 else 400)
        attaches = [draw.randint(1, len(trunk)) for _ in range(draw.randint(1, 4))]
        branches = [Completion(attach, words(40)) for attach in attaches for _ in range(draw.randint(1, 6))]
        experts = [
            Completion(attach, trunk[attach : attach + 9]) for attach in attaches if attach < len(trunk)
        ]
        trees.append(SessionTree(trunk, (*branches, *experts)))
    return trees


def by_tree(model: PreTrainedModel, trees: list[SessionTree], weight: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of all completions, and the gradient of their weighted sum."""
    found = scoring.score(model, pack_micro_batch(trees)).logprobs
    return found.detach(), gradients(model, (weight * found).sum())


def by_rows(model: PreTrainedModel, trees: list[SessionTree], weight: Tensor) -> tuple[Tensor, Tensor]:
    found = torch.cat(padded_logprobs(model, trees))
    return found.detach(), gradients(model, (weight * found).sum())


def weights(trees: list[SessionTree]) -> Tensor:
    """One for every token, so that no two errors can cancel."""
    return (
        torch.rand(sum(len(completion.tokens) for tree in trees for completion in tree.completions)) * 2 - 1
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_padded_rows(model: PreTrainedModel, seed: int) -> None:
    trees = forest(seed)
    weight = weights(trees)
    logprobs, gradient = by_tree(model, trees, weight)
    expected, expected_gradient = by_rows(model, trees, weight)
    torch.testing.assert_close(logprobs, expected, atol=2e-4, rtol=1e-4)
    assert distance(gradient, expected_gradient) < 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_is_as_exact_as_padded_rows_in_bfloat16(model: PreTrainedModel, seed: int) -> None:
    trees = forest(seed)
    weight = weights(trees)
    exact = by_rows(model, trees, weight)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        tree, rows = by_tree(model, trees, weight), by_rows(model, trees, weight)
    for found, plain, right in zip(tree, rows, exact, strict=True):
        assert distance(found, right) < 1.5 * distance(plain, right) + 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_without_gradient_are_the_same(model: PreTrainedModel, seed: int) -> None:
    packed = pack_micro_batch(forest(seed))
    with torch.no_grad():
        found = scoring.score(model, packed)
    torch.testing.assert_close(
        found.logprobs, scoring.score(model, packed).logprobs.detach(), atol=1e-5, rtol=1e-5
    )


def distance(found: Tensor, right: Tensor) -> float:
    return float((found - right).norm() / right.norm())
