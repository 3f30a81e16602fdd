"""Simulated reviewers: they answer by the truth, and wrongly with an error rate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from learntoask.review.records import ReviewAnswer, ReviewItem

from calibration_goals.gold import Gold, wrong_answer

REVIEWERS = ("ada", "ben")


def answer_all(
    items: Sequence[ReviewItem], gold: Gold, *, errors: float, seed: int, doubled: float = 0.2
) -> list[ReviewAnswer]:
    """Return one answer to each item, and a second one by another person to the share `doubled` of the anchor."""
    found = []
    for item in items:
        right = gold[item.origin.session_id].answer(item)
        draw = random.Random(f"{seed}:{item.digest}")
        first = draw.randrange(len(REVIEWERS))
        times = 2 if item.split == "anchor" and draw.random() < doubled else 1
        for place in range(times):
            answer = wrong_answer(item, right, draw) if draw.random() < errors else right
            reviewer = REVIEWERS[(first + place) % len(REVIEWERS)]
            found.append(ReviewAnswer(item=item.digest, reviewer=reviewer, answer=answer, blind=answer))
    return found


def write_answers(path: Path, answers: Sequence[ReviewAnswer]) -> Path:
    """Write answers.jsonl."""
    path.write_text("".join(answer.model_dump_json() + "\n" for answer in answers), encoding="utf-8")
    return path
