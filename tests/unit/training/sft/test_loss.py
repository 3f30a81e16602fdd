"""The loss of SFT over trees with weighted completions equals that of weighted rows."""

from __future__ import annotations

import pytest
import torch
from learntoask.training.distributed.process_group import ALONE
from learntoask.training.optim.learner import Learner
from learntoask.training.sft.trainer import add_gradients, mean_loss
from learntoask.training.tree.layout import Completion, SessionTree
from worlds.trees import VOCABULARY, gradients, model_of, padded_logprobs


def forest() -> list[SessionTree]:
    draw = torch.Generator().manual_seed(3)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(VOCABULARY, (count,), generator=draw).tolist())

    trunk = tokens(20)
    first = SessionTree(
        trunk,
        (
            Completion(5, trunk[5:9]),
            *(Completion(5, tokens(count), 0.25) for count in (3, 6)),
            Completion(12, trunk[12:14]),
            Completion(12, tokens(4), 0.5),
            Completion(20, tokens(2)),
        ),
    )
    return [first, SessionTree(tokens(9), (Completion(4, tokens(3)), Completion(9, tokens(5), 2.0)))]


@pytest.mark.parametrize("row_tokens", [20, 1000])
def test_weighted_branches_have_the_gradient_of_weighted_rows(row_tokens: int) -> None:
    model = model_of("llama")
    learner = Learner(model, weight_decay=0.0, precision=torch.float32, workers=ALONE)
    trees = forest()
    weights = [completion.weight for tree in trees for completion in tree.completions]
    rows = padded_logprobs(model, trees)
    whole = sum(weight * len(row) for weight, row in zip(weights, rows, strict=True))
    expected = -sum(weight * row.sum() for weight, row in zip(weights, rows, strict=True)) / whole
    wanted = gradients(model, expected)

    model.zero_grad()
    loss, tokens = add_gradients(learner, trees, row_tokens)
    found = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert tokens == sum(map(len, rows))
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.testing.assert_close(found, wanted, atol=1e-5 * float(wanted.abs().max()), rtol=1e-3)
    # The weights matter, or else this test would pass without them.
    assert mean_loss(learner, trees, row_tokens) != pytest.approx(loss, rel=1e-3)
