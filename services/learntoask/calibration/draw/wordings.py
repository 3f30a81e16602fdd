"""Which questions without a field people read, so that their answers tell something about as many others as possible.

Where the pack lacks a pattern, many questions without a field have like words. So the question is asked that most
others are like; these count as told, and the question is looked for that most of the rest are like (greedy maximum
coverage; Nemhauser, Wolsey and Fisher 1978).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from learntoask.calibration.draw.findings import Finding
from learntoask.core.text.sentences import question_parts
from learntoask.core.text.words import words

_ALIKE = (0.6, 0.8, 1.0)
"""Shares of the words of the shorter of two like questions; the next one once all questions are told."""
_MOST = 4000  # wordings that are compared


def most_telling(unnamed: Sequence[Finding], count: int, *, group_of: Callable[[str], str]) -> list[Finding]:
    """Return `count` of the questions without a field, or all wordings, those first that most others are like.

    `group_of` returns the group of a task; questions of different groups are never alike. The result depends on nothing
    but the questions and their order.
    """
    times: dict[tuple[str, frozenset[str]], list[Finding]] = {}
    for one in unnamed:
        times.setdefault((group_of(one.task), frozenset(words(one.text))), []).append(one)
    wordings = sorted(times.items(), key=lambda item: -len(item[1]))[:_MOST]
    likeness = _likeness([said for (_, said), _ in wordings])
    groups = np.array([group for (group, _), _ in wordings])
    likeness[groups[:, None] != groups[None, :]] = 0
    # A message that asks for several things at once does not tell which of its words ask for which.
    asks = np.array([len(list(question_parts(members[0].text))) for _, members in wordings])
    often = np.array([float(len(members)) for _, members in wordings])
    asked: list[int] = []
    for least in _ALIKE:
        alike = likeness >= least - 1e-6
        open_ = np.ones(len(wordings), dtype=bool)
        open_[asked] = False
        while len(asked) < count and open_.any():
            gains = alike @ (often * open_) / np.maximum(asks, 1)
            gains[asked] = -1
            best = int(gains.argmax())
            if gains[best] < 0:
                break
            asked.append(best)
            open_ &= ~alike[best]
            open_[best] = False
    return [wordings[place][1][0] for place in asked]


def _likeness(said: Sequence[frozenset[str]]) -> NDArray[np.float32]:
    """Return the share of words that each two sets have in common, of the shorter, [n, n]; rare words count more."""
    place_of = {word: place for place, word in enumerate(sorted(frozenset().union(*said)))}
    holds = np.zeros((len(said), len(place_of)), dtype=np.float32)
    for row, own in enumerate(said):
        holds[row, [place_of[word] for word in own]] = 1
    rarity = np.log((1 + len(said)) / (1 + holds.sum(axis=0))) + 0.1
    length = holds @ rarity
    shorter = np.minimum(length[:, None], length[None, :])
    found: NDArray[np.float32] = (holds * rarity) @ holds.T / np.maximum(shorter, 1e-9)
    return found
