"""Prompts that begin alike share a trunk; the manifest's limits apply in all places alike."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.manifest import Reward, Train
from learntoask.core.pack import Pack
from learntoask.policy.prompt import PromptLimits, PromptRenderer, completion_tokens, group_by_prefix
from learntoask.training.base.packaged import packaged_tokenizer

prompts = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5).map(tuple), max_size=8)


@given(prompts)
def test_every_prompt_is_a_prefix_of_the_first_of_its_group(found: list[tuple[int, ...]]) -> None:
    groups = group_by_prefix(found)
    assert sorted(index for group in groups for index in group) == list(range(len(found)))
    for group in groups:
        assert all(found[group[0]][: len(found[index])] == found[index] for index in group)


@given(prompts)
def test_longest_first_gives_as_few_groups_as_there_are_prompts_that_begin_no_other(
    found: list[tuple[int, ...]],
) -> None:
    ordered = sorted(set(found), key=len, reverse=True)
    maximal = [
        prompt
        for prompt in ordered
        if not any(other != prompt and other[: len(prompt)] == prompt for other in ordered)
    ]
    assert len(group_by_prefix(ordered)) == len(maximal)


def test_limits_follow_the_manifest() -> None:
    train = Train(max_prompt_tokens=512, stop_threshold=0.3, reward=Reward(mode="ask_only"))
    assert PromptLimits.of(train) == PromptLimits(max_prompt_tokens=512, may_stop=False, stop_threshold=0.3)
    assert PromptLimits.of(Train(assessment="fields")).assess


def test_a_missing_field_has_the_probability_of_the_tokens_of_its_name() -> None:
    fields = [{"name": name} for name in ("age", "other_medicines")]
    pack = Pack.model_validate({"name": "p", "tasks": [{"name": "t", "fields": fields}]})
    renderer = PromptRenderer(tokenizer=packaged_tokenizer(), pack=pack, limits=PromptLimits(assess=True))
    tokens = completion_tokens(renderer.tokenizer, "<need>age, other medicines</need> How old are you?")
    texts = [renderer.tokenizer.decode([token]) for token in tokens]
    first, last = texts.index(" other"), texts.index(" medicines")
    logprobs = [-3.0] * len(tokens)
    logprobs[texts.index("age")] = math.log(0.9)
    logprobs[first : last + 1] = [math.log(0.5)] * (last + 1 - first)
    found = renderer.missing(renderer.answer(tokens, "t"), tokens, logprobs)
    assert [missing.name for missing in found] == ["age", "other_medicines"]
    assert [missing.probability for missing in found] == pytest.approx([0.9, 0.5 ** (last + 1 - first)])
    stop = renderer.stop_tokens
    assert renderer.missing(renderer.answer(stop, "t"), stop, [-1.0] * len(stop)) == ()
