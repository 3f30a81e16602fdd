"""Answer the questions of a run's review by gold.jsonl, which holds the truth about logs.jsonl. Two simulated people.

python examples/pharmacy/gold_reviewers.py RUN [--errors 0.05] [--seed 0]

RUN is the name of a run, or its manifest. The answers go through the queue, as those of people do. `make review-demo`
calls this.
"""

from __future__ import annotations

import argparse
import random

from learntoask.cli.review import review_of
from learntoask.local.view import view
from learntoask.review.queue import ReviewQueue
from learntoask.runner.home import home_folder
from pharmacy_gold import Gold, pharmacy_gold, wrong_answer

PEOPLE = ("ada", "ben")
_SECONDS = 12.0  # that an answer is said to have taken


def answer_all(queue: ReviewQueue, gold: Gold, *, errors: float, seed: int) -> int:
    """Answer as each person what the queue asks that person, until nothing is asked, and return the number of answers.

    With the probability `errors` a person gets one choice wrong.
    """
    given = 0
    for person in PEOPLE:
        while (digest := queue.next_item(person)) is not None:
            item = queue.item(digest)
            assert item is not None
            draw = random.Random(f"{seed}:{person}:{digest}")
            right = gold[item.origin.session_id].answer(item)
            answer = wrong_answer(item, right, draw) if draw.random() < errors else right
            queue.answer(digest, person, answer, seconds=_SECONDS, id=f"{person}-{digest[:16]}")
            given += 1
    return given


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--errors", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    queue = review_of(view(given.run, home=home_folder())).queue
    count = answer_all(queue, pharmacy_gold(), errors=given.errors, seed=given.seed)
    status = queue.status()
    print(
        f"{' and '.join(PEOPLE)} gave {count} answers, known and repeated questions included; "
        f"{status.given} of {status.needed} are there"
    )


if __name__ == "__main__":
    main()
