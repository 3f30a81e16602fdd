"""Answers that differ as questions to people, who do not know whose answer is which, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from learntoask.core.errors import InputError
from learntoask.core.records import STOP, Message
from learntoask.core.status.rollout import JudgedPairs
from learntoask.review.records import CANNOT_SAY, ReviewAnswer, ReviewItem
from learntoask.serving.rollout.pairs import Pair, PolicyAnswer, estimate, items_of, judged, read_pairs


def pair(
    name: str, *, control: str = "Since when?", canary: str = STOP, turn: int = 1, extra: int = 0
) -> Pair:
    return Pair(
        rollout="r",
        conversation=name,
        task="default",
        messages=tuple(Message(role="user", content=f"{n}", author="user") for n in range(turn)),
        control=PolicyAnswer(answer=control, policy_revision="old"),
        canary=PolicyAnswer(answer=canary, policy_revision="new"),
        extra_faults=extra,
    )


def pairs_of(count: int, *, extra: int = 0) -> dict[str, list[Pair]]:
    return {f"c{n}": [pair(f"c{n}", extra=extra)] for n in range(count)}


def answered(
    item: ReviewItem, text: str, *, reviewer: str = "ann", adjudicated: bool = False
) -> ReviewAnswer:
    """The choice with this text, as a reviewer's answer."""
    key = next((choice.key for choice in item.choices if choice.text == text), CANNOT_SAY[0])
    return ReviewAnswer(
        item=item.digest, reviewer=reviewer, answer=(key,), blind=None, adjudicated=adjudicated
    )


CANARY, CONTROL, ALIKE = "Ask nothing more", "Since when?", "Both are as good"


def test_a_conversation_is_asked_once_at_its_first_difference(tmp_path: Path) -> None:
    lines = [
        pair("c1", turn=3),
        pair("c1", turn=2, canary="Why?"),
        pair("c1", turn=1, canary="Since when?", extra=1),  # the same words, after a repair
        pair("c2").model_copy(update={"rollout": "another"}),
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(line.model_dump_json() + "\n" for line in lines))
    (item,) = items_of(read_pairs([path], "r"))
    assert len(item.messages) == 2
    assert sorted(choice.text for choice in item.choices) == [ALIKE, CONTROL, "Why?"]
    path.write_text(json.dumps({"rollout": "r"}) + "\n")
    with pytest.raises(InputError, match="line 1 is not a Pair"):
        read_pairs([path], "r")


def test_nothing_in_a_question_tells_whose_answer_is_which() -> None:
    items = items_of(pairs_of(200))
    first = [item.choices[0].text for item in items]
    assert 60 < first.count(CANARY) < 140
    assert not any(word in item.model_dump_json() for item in items for word in ("canary", "control", "new"))


def test_the_majority_counts_a_decision_before_it_and_who_cannot_say_not() -> None:
    items = items_of(pairs_of(6))
    answers = [
        answered(items[0], CANARY),
        answered(items[1], CONTROL),
        answered(items[2], ALIKE),
        answered(items[3], "?"),
        *(answered(items[4], CANARY, reviewer=name) for name in ("ann", "ben")),
        answered(items[4], CONTROL, reviewer="cid"),
        *(answered(items[5], CANARY, reviewer=name) for name in ("ann", "ben")),
        answered(items[5], CONTROL, reviewer="dora", adjudicated=True),
    ]
    found, said = judged("r", items, answers)
    assert found == JudgedPairs(id="r", better=2, alike=1, worse=2)
    assert said == {"c0": 1, "c1": -1, "c2": 0, "c4": 1, "c5": -1}


def test_few_judgements_are_completed_by_what_the_patterns_find() -> None:
    random = np.random.default_rng(0)
    truth = {f"c{n}": int(value) for n, value in enumerate(random.choice([-1, 1], size=400, p=[0.7, 0.3]))}
    noise = random.random(400) < 0.1
    pairs = {
        name: [pair(name, extra=value if wrong else -value)]
        for (name, value), wrong in zip(truth.items(), noise, strict=True)
    }
    few = {name: truth[name] for name in list(truth)[:60]}
    found = estimate(pairs, few)
    assert found is not None
    low, high = found.interval()
    assert low < np.mean(list(truth.values())) < high
    assert found.worth > 1.5
    assert estimate(pairs, {}) is None
