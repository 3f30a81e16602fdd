"""What the judges' votes on an item say together. Pure."""

from __future__ import annotations

import math
from collections import Counter

from learntoask.review.records import Answer, Vote


def machine_answer(votes: tuple[Vote, ...]) -> Answer | None:
    """Return the answer of most judges (the first of equals), or None without votes."""
    return Counter(vote.answer for vote in votes).most_common(1)[0][0] if votes else None


def information(votes: tuple[Vote, ...]) -> float:
    """Return how much the judges' votes differ: the entropy of their shares, in bits."""
    counts = Counter(vote.answer for vote in votes)
    shares = [count / len(votes) for count in counts.values()]
    return -sum(share * math.log2(share) for share in shares)
