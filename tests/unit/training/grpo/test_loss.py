"""The GRPO loss: the plain formula against a padded reference, and what factored credit promises."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.manifest import Grpo
from learntoask.training.grpo.advantages import group_advantages
from learntoask.training.grpo.loss import CompletionFacts, grpo_loss
from torch import Tensor

PLAIN = Grpo(credit="plain", kl_coefficient=0.1)
rewards = st.lists(st.one_of(st.none(), st.floats(0, 4, allow_nan=False)), max_size=8)


@given(rewards)
def test_advantages_are_centred_scaled_and_masked(values: list[float | None]) -> None:
    found = group_advantages(values)
    known = [value for value in values if value is not None]
    assert len(found) == len(values)
    if len(known) < 2:
        assert found == [None] * len(values)
        return
    assert [value is None for value in found] == [value is None for value in values]
    mean = sum(known) / len(known)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1))
    for value, advantage in zip(values, found, strict=True):
        if value is not None:
            assert advantage == pytest.approx((value - mean) / (deviation + 1e-4), abs=1e-6)


def facts_of(lengths: list[int], advantages: list[float]) -> CompletionFacts:
    """Sampled completions only, each with the same weight."""
    count = len(lengths)
    nothing = torch.zeros(count)
    return CompletionFacts(
        lengths=torch.tensor(lengths),
        weight=torch.full((count,), 1 / count),
        advantage=torch.tensor(advantages),
        stop=torch.zeros(count, dtype=torch.bool),
        truth=torch.zeros(count, dtype=torch.long),
        decision_weight=nothing,
        hold_weight=nothing,
        stop_of=torch.zeros(count, dtype=torch.long),
    )


def padded_loss(
    new: list[Tensor], old: list[Tensor], reference: list[Tensor], advantages: list[float]
) -> Tensor:
    """The formula of the papers (and TRL's `grpo` loss), completion by completion."""
    losses = []
    for logs, before, anchor, advantage in zip(new, old, reference, advantages, strict=True):
        ratio = torch.exp(logs - before)
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        kl = torch.exp(anchor - logs) - (anchor - logs) - 1
        losses.append((-surrogate + 0.1 * kl).mean())
    return torch.stack(losses).mean()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6), seed=st.integers(0, 10**6))
def test_plain_credit_is_the_published_formula(lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    new, old, reference = (-3 * torch.rand(total, generator=generator) for _ in range(3))
    advantages = torch.randn(len(lengths), generator=generator).tolist()
    tree, padded = new.clone().requires_grad_(), new.clone().requires_grad_()
    part = grpo_loss(tree, old=old, reference=reference, facts=facts_of(lengths, advantages), settings=PLAIN)
    expected = padded_loss(
        list(padded.split(lengths)), list(old.split(lengths)), list(reference.split(lengths)), advantages
    )
    torch.testing.assert_close(part.loss, expected)
    part.loss.backward()
    expected.backward()
    torch.testing.assert_close(tree.grad, padded.grad)


def test_the_policy_that_sampled_has_ratio_one() -> None:
    new = torch.tensor([-1.0, -2.0], requires_grad=True)
    part = grpo_loss(new, old=None, reference=new.detach(), facts=facts_of([2], [1.5]), settings=PLAIN)
    part.loss.backward()
    assert (part.clipped, part.kl) == (0.0, 0.0)
    torch.testing.assert_close(new.grad, torch.tensor([-0.75, -0.75]))


@pytest.mark.parametrize(("too_likely", "weight"), [(0.5, 2.0), (1.0, 1.0), (2.0, 0.5), (0.1, 2.0)])
def test_tokens_drawn_by_another_engine_are_weighted_by_how_likely_they_are_here(
    too_likely: float, weight: float
) -> None:
    new = torch.tensor([-1.0, -2.0], requires_grad=True)
    facts = replace(facts_of([2], [1.5]), drawn=new.detach() + math.log(too_likely))
    part = grpo_loss(new, old=None, reference=new.detach(), facts=facts, settings=PLAIN)
    part.loss.backward()
    torch.testing.assert_close(new.grad, torch.tensor([-0.75, -0.75]) * weight)
    assert part.off_policy == pytest.approx(abs(weight - 1))


def one_point(truth: int, *, advantages: tuple[float, float] = (0.0, 0.0)) -> CompletionFacts:
    """A forced stop branch (token 0) and two questions (tokens 1 and 2) at one context."""
    sampled = torch.tensor([0.0, 0.5, 0.5])
    first = torch.tensor([1.0, 0.0, 0.0])
    return CompletionFacts(
        lengths=torch.ones(3, dtype=torch.long),
        weight=sampled,
        advantage=torch.tensor([0.0, *advantages]),
        stop=first.bool(),
        truth=torch.tensor([truth, 0, 0]),
        decision_weight=first * (truth != 0),
        hold_weight=first,
        stop_of=torch.zeros(3, dtype=torch.long),
    )


def gradient(
    logits: list[float], facts: CompletionFacts, sft: list[float] | None = None, **changes: float
) -> Tensor:
    """Gradient of the loss on the logits of a policy that answers with one token, of which token 0 is the stop."""
    weights = {"decision_coefficient": 0.0, "stop_kl_coefficient": 0.0, "kl_coefficient": 0.0, **changes}
    leaf = torch.tensor(logits, requires_grad=True)
    reference = torch.tensor(sft or logits).log_softmax(0)[:3]
    part = grpo_loss(
        leaf.log_softmax(0)[:3], old=None, reference=reference, facts=facts, settings=Grpo(**weights)
    )
    part.loss.backward()
    return leaf.grad


logit = st.floats(-4, 4, allow_nan=False)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(logits=st.lists(logit, min_size=4, max_size=6), one=logit, other=logit)
def test_learning_questions_does_not_move_the_stop(logits: list[float], one: float, other: float) -> None:
    found = gradient(logits, one_point(-1, advantages=(one, other)))
    assert abs(float(found[0])) < 1e-4  # float32, magnified by 1 / (1 − p(stop))
    # ... and what it does move is the policy gradient given that a question is asked.
    asked = torch.tensor(logits)[1:].softmax(0)
    expected = (one + other) / 2 * asked
    expected[0] -= one / 2
    expected[1] -= other / 2
    torch.testing.assert_close(found[1:], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("truth", [1, -1])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(logits=st.lists(logit, min_size=3, max_size=5))
def test_the_decision_gradient_is_that_of_an_infinite_group(truth: int, logits: list[float]) -> None:
    stop = float(torch.tensor(logits).softmax(0)[0])
    found = gradient(logits, one_point(truth), decision_coefficient=1.0)
    assert float(found[0]) == pytest.approx(-truth * math.sqrt(stop * (1 - stop)), abs=1e-4)


def test_unlabelled_points_send_no_decision_gradient() -> None:
    assert gradient([0.3, 0.1, 0.2], one_point(0), decision_coefficient=1.0).abs().max() == 0


@settings(max_examples=25, deadline=None, derandomize=True)
@given(logits=st.lists(logit, min_size=3, max_size=3), sft=st.lists(logit, min_size=3, max_size=3))
def test_the_hold_pulls_the_stop_towards_the_sft_policy(logits: list[float], sft: list[float]) -> None:
    stop, wanted = (float(torch.tensor(each).softmax(0)[0]) for each in (logits, sft))
    found = gradient(logits, one_point(0), sft, stop_kl_coefficient=1.0)
    assert float(found[0]) == pytest.approx(stop - wanted, abs=1e-4)


def test_certain_stops_stay_finite() -> None:
    for logits in ([60.0, 0.0, 0.0], [-60.0, 0.0, 0.0]):
        found = gradient(logits, one_point(-1, advantages=(1.0, -1.0)), decision_coefficient=1.0)
        assert torch.isfinite(found).all()
