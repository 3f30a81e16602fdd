"""Guess how answers go on, so that one step computes several of their tokens (speculative decoding).

The policy's own choice at each token decides how much of a guess is taken. A guess therefore changes how long an answer
takes, and never the answer. Answers to similar conversations are alike, so earlier answers are the guesses; no second
model is needed. The tokens of a forced answer are known and need no guess.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from learntoask.decoding.branch import Branch

FREE_TOKENS = 32
"""Tokens of a step that cost about as much as one, because reading the weights takes most of the time."""
MOST_AHEAD = 8
"""Longest guess, so that a wrong one costs little."""
_CONTEXTS = (6, 2)  # tokens of an answer that tell the next one: the longest that is known decides
_SIZE = 200_000  # remembered contexts


class EarlierAnswers:
    """Remembers which token mostly follows the last tokens of an answer, of the most recent answers."""

    def __init__(self) -> None:
        self._next: OrderedDict[tuple[int, ...], tuple[int, int]] = OrderedDict()  # token, votes for it

    def remember(self, tokens: Sequence[int]) -> None:
        """Remember a whole answer, its end of turn included."""
        for place in range(1, len(tokens)):
            for context in _contexts(tokens[:place]):
                token, votes = self._next.pop(context, (tokens[place], 0))
                if token == tokens[place]:
                    votes += 1
                elif votes:
                    votes -= 1
                else:
                    token = tokens[place]
                self._next[context] = token, votes
        while len(self._next) > _SIZE:
            self._next.popitem(last=False)

    def guess(self, tokens: Sequence[int], most: int) -> tuple[int, ...]:
        """Return at most `most` tokens with which an answer may go on after `tokens`."""
        guessed = list(tokens)
        while len(guessed) < len(tokens) + most:
            known = (self._next.get(context) for context in _contexts(guessed))
            found = next(filter(None, known), None)
            if found is None:
                break
            guessed.append(found[0])
        return tuple(guessed[len(tokens) :])


def ahead(rows: Sequence[Sequence[Branch]], answers: EarlierAnswers | None) -> list[tuple[int, ...]]:
    """Return the tokens that a step computes for each row of branches beyond the last token that it has.

    Only a row of one branch has any. Forced tokens come first where a step has no room for all.
    """
    room = FREE_TOKENS - len(rows)
    chosen: list[tuple[int, ...]] = [()] * len(rows)
    if room <= 0:
        return chosen
    single = [(index, branches[0]) for index, branches in enumerate(rows) if len(branches) == 1]
    for index, branch in sorted(single, key=lambda entry: not entry[1].forced):
        most = min(room, MOST_AHEAD)
        drawn = len(branch.tokens)
        if branch.forced:
            chosen[index] = branch.forced[drawn:-1][:most]
        elif branch.greedy and answers is not None:
            chosen[index] = answers.guess(branch.tokens, min(most, branch.max_new_tokens - drawn - 1))
        room -= len(chosen[index])
    return chosen


def _contexts(tokens: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the last tokens of the beginning of an answer, the longest first."""
    return [tuple(tokens[-length:]) for length in _CONTEXTS]
