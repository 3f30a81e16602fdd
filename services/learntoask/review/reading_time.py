"""How fast an answer can come at most from somebody who has read what the question is about. Pure.

At 10 words a second (600 a minute) people scan a text for a word and do not understand it; silent reading of English
runs at 3 to 5 words a second (Carver 1992; Brysbaert 2019, 190 studies). Answers to questionnaires in under a second
are hardly consistent with each other (Wood, Harms, Lowman and DeSimone 2017).
"""

from __future__ import annotations

from learntoask.core.text.words import words
from learntoask.review.records import ReviewItem

WORDS_PER_SECOND = 10.0
LEAST_SECONDS = 1.0


def shortest_seconds(item: ReviewItem) -> float:
    """Return the time in seconds below which an answer to `item` comes faster than its text can be read.

    Only words that cannot have been read in an earlier question about the same conversation count: the marked messages,
    or the last one that is shown where the marked ones are hidden.
    """
    seen = item.messages[: item.shown]
    asked = seen[item.start : item.end] or seen[-1:]
    count = sum(len(words(message.content)) for message in asked)
    return max(LEAST_SECONDS, count / WORDS_PER_SECOND)
