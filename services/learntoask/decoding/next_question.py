"""Finds the most likely answer that is not a repeated question, from one greedy answer after another.

A refused question is barred from the place on where most of the probability of other answers branches off. For example,
"What is your age?" is barred from "age" on where "What is your weight?" is the likely alternative, and from its first
word on where other questions begin otherwise. Greedy decoding under these bars then finds the next candidate.

A refused question also makes the stop more probable, by Bayes' rule: with p(stop) = .15 and p(repeated question) = .8
the policy stops with probability .75 if it may not put that question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from learntoask.core.records import STOP
from learntoask.policy.prompt import shared_tokens

_MOST_CANDIDATES = 5


class Candidate(Protocol):
    """A decoded answer. `logprobs` are the natural logs of the probabilities of its tokens, without any bar."""

    @property
    def text(self) -> str: ...

    @property
    def tokens(self) -> Sequence[int]: ...

    @property
    def logprobs(self) -> Sequence[float]: ...


class QuestionSearch:
    """The search at one decision point.

    `repeats` tells whether an answer is a repeated question. `stop_probability` is that of the whole stop string, whose
    tokens are `stop`, and `threshold` the one from which the policy stops; with None it never stops because of a
    refused question. `last_resort` returns the answer if no candidate is new.
    """

    def __init__(
        self,
        *,
        repeats: Callable[[str], bool],
        stop: Sequence[int],
        stop_probability: float,
        threshold: float | None,
        last_resort: Callable[[], str],
    ) -> None:
        self._repeats = repeats
        self._stop = tuple(stop)
        self._stop_probability = stop_probability
        self._threshold = threshold
        self._last_resort = last_resort
        self._bars: dict[tuple[int, ...], float] = {}  # each with the probability of its last token
        self._refused_probability = 0.0
        self.refused = 0
        """The number of repeated questions so far."""

    @property
    def barred(self) -> tuple[tuple[int, ...], ...]:
        """The beginnings that the next candidate must not have."""
        return tuple(self._bars)

    def offer(self, candidate: Candidate) -> str | None:
        """Return the text to answer, or None if another candidate is to be decoded that begins as none of `barred`."""
        if not self._repeats(candidate.text):
            return candidate.text
        self.refused += 1
        self._refused_probability += math.exp(sum(candidate.logprobs))
        if self._stops():
            return STOP
        bar = self._branching_point(candidate)
        if bar is None or self.refused == _MOST_CANDIDATES:
            return self._last_resort()
        prefix, probability = bar
        self._bars[prefix] = probability
        return None

    def _stops(self) -> bool:
        if self._threshold is None:
            return False
        rest = max(1 - self._refused_probability, self._stop_probability)
        return self._stop_probability >= self._threshold * rest

    def _branching_point(self, candidate: Candidate) -> tuple[tuple[int, ...], float] | None:
        """Return the beginning of `candidate` after whose last token's place most other answers leave it."""
        stop_leaves = shared_tokens(self._stop, candidate.tokens)
        reached, best, most = 1.0, None, -1.0
        for place, logprob in enumerate(candidate.logprobs):
            before, probability = tuple(candidate.tokens[:place]), math.exp(logprob)
            # What is barred at this place is no alternative, and neither is the stop where a threshold decides on it.
            barred = sum(chance for prefix, chance in self._bars.items() if prefix[:-1] == before)
            leaving = reached * (1 - probability - barred)
            if self._threshold is not None and place == stop_leaves:
                leaving -= self._stop_probability
            leaving = max(leaving, 0.0)
            if leaving > most:
                best, most = ((*before, candidate.tokens[place]), probability), leaving
            reached *= probability
        return best
