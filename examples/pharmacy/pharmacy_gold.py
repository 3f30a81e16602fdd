"""The truth about logs.jsonl from gold.jsonl, as answers to the items of a review."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from learntoask.calibration.answers import NO, YES
from learntoask.review.records import Answer, ReviewItem

GOLD_FILE = Path(__file__).with_name("gold.jsonl")


@dataclass(frozen=True)
class GoldSession:
    """The truth about one session. `asks` and `goals` are by the index of a turn's first message."""

    asks: Mapping[int, frozenset[str]]
    goals: Mapping[int, frozenset[str]]
    stop: int | None  # index of the message at which the expert acts

    def answer(self, item: ReviewItem) -> Answer:
        """Return the right answer to an item."""
        if item.kind == "is_stop":
            return (YES,) if item.start == self.stop else (NO,)
        named = (self.asks if item.kind == "asks_for" else self.goals).get(item.start, frozenset())
        return tuple(sorted(named & {choice.key for choice in item.choices}))


Gold = dict[str, GoldSession]
"""The truth about each session, by its id."""


def pharmacy_gold(path: Path = GOLD_FILE) -> Gold:
    """Read gold.jsonl."""
    found = {}
    for truth in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if "turns" in truth:
            turns, stop = truth["turns"], truth.get("stop_turn")
            found[truth["session_id"]] = GoldSession(
                asks={turn["start"]: frozenset(turn["requested"]) for turn in turns},
                goals={turn["start"]: frozenset(turn["remaining"]) for turn in turns},
                stop=turns[stop]["start"] if stop is not None else None,
            )
    return found


def wrong_answer(item: ReviewItem, right: Answer, draw: random.Random) -> Answer:
    """Return a wrong answer: the other choice, or one choice too many, missing, or taken for another."""
    if not item.several:
        return next((choice.key,) for choice in item.choices if choice.key not in right)
    others = [choice.key for choice in item.choices if choice.key not in right]
    kept = list(right)
    if kept and (not others or draw.random() < 0.5):
        kept.remove(draw.choice(kept))
        if draw.random() < 0.5:
            return tuple(kept)
    if others:
        kept.append(draw.choice(others))
    return tuple(sorted(kept))
