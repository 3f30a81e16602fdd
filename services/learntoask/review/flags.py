"""Signs that a reviewer's answers should not be trusted. Pure.

The flags are looked at after every answer, so each is an e-process: a careful reviewer gets it with at most the
probability `_ALPHA` over the whole review, however often anybody looks (learntoask/statistics/e_process.py). Its null
hypothesis is what a careful reviewer would do at worst. The flags are told to the reviewer too; no answer is removed
because of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import Literal

import numpy as np

from learntoask.core.records import Record
from learntoask.review.choice_order import position_of
from learntoask.review.reading_time import shortest_seconds
from learntoask.review.records import CANNOT_SAY, Answer
from learntoask.review.state import QueueState
from learntoask.statistics.bootstrap import Floats
from learntoask.statistics.e_process import bernoulli_log_e, log_mean_exp, mean_interval

# Careful reviewers are seldom at their worst in everything, so all flags together stay below 0.05.
_ALPHA = 1 / 80
_LOG_E = math.log(1 / _ALPHA)
_CARELESS = 0.12  # share of known items that a careful reviewer gets wrong at most
_UNSTEADY = 0.2  # share of repeats that a careful reviewer answers differently at most
_YIELDING = 0.5  # share of differences from the machine that a careful reviewer gives up at most
_HASTY = 0.2  # share of answers that a careful reviewer gives faster than the text can be read at most
# A share of disputed items that the machine gets right at most, unless known items or other people's answers show more.
_MACHINE_RIGHT = 0.85
# A copier takes over nearly every answer. With smaller shares, one would be seen where a machine is simply right.
_COPIED = np.linspace(0.85, 1.0, 50, endpoint=False)
_MIN_SAME, _SAME_SHARE, _MOST_EXPECTED, _MARGIN = 20, 0.95, 0.85, 0.25
_MIN_CANNOT_SAY, _CANNOT_SAY_SHARE = 20, 0.9

FlagKind = Literal["inattentive", "copies_machine", "same_choice", "inconsistent", "cannot_say", "hasty"]


class Flag(Record):
    """A sign that answers of `reviewer` should not be trusted; `message` is for that reviewer and for others."""

    kind: FlagKind
    reviewer: str
    message: str


Report = Callable[[FlagKind, str], None]


def reviewer_flags(state: QueueState, reviewer: str) -> tuple[Flag, ...]:
    """Return the flags of a reviewer, in a time proportional to the reviewer's answers."""
    answered = list(state.reviewers[reviewer].answered)
    found: list[Flag] = []

    def flag(kind: FlagKind, message: str) -> None:
        found.append(Flag(kind=kind, reviewer=reviewer, message=message))

    known = [digest for digest in answered if state.items[digest].why == "known"]
    plain = [digest for digest in answered if state.items[digest].why in ("disagreement", "audit")]
    if not _copies(state, reviewer, known, plain, flag):
        _changes_of_mind(state, reviewer, plain, flag)
        _attention(state, reviewer, answered, flag)
    _same_choice(state, reviewer, [*plain, *known], flag)
    _hasty(state, reviewer, answered, flag)
    blank = sum(1 for digest in answered if state.response(digest, reviewer).answer == CANNOT_SAY)
    if len(answered) >= _MIN_CANNOT_SAY and blank >= _CANNOT_SAY_SHARE * len(answered):
        flag("cannot_say", f"{blank} of {len(answered)} answers are “cannot say”")
    return tuple(found)


def copying_log_e(*, same: int, disputed: int, copied: int, traps: int, machine_right: float) -> float:
    """Return the evidence that a reviewer copies the machine instead of judging.

    `same` of the `disputed` items, which judges disagree about, have the answer of most judges, and `copied` of the
    `traps`, whose right answer is known not to be the machine's, have the machine's. Under the null hypothesis somebody
    who judges agrees with the machine on a disputed item with at most the probability `machine_right`, and on a trap
    with at most 0.12. Under the alternative the answer is copied with a probability near 1, and otherwise judged. The
    likelihood ratios, mixed over that probability, are an e-process, because the null hypothesis bounds each of them.
    """
    return log_mean_exp(
        _copied_ratios(same, disputed, machine_right) + _copied_ratios(copied, traps, _CARELESS)
    )


def _copied_ratios(hits: int, trials: int, by_judging: float) -> Floats:
    """Return the log likelihood ratio of each probability of copying against none, [probabilities].

    A hit is an answer like the machine's, which somebody who judges gives with the probability `by_judging`.
    """
    chances = _COPIED + (1 - _COPIED) * by_judging
    found: Floats = hits * np.log(chances / by_judging) + (trials - hits) * np.log(
        (1 - chances) / (1 - by_judging)
    )
    return found


def _copies(
    state: QueueState, reviewer: str, known: Collection[str], plain: Collection[str], flag: Report
) -> bool:
    traps = [digest for digest in known if state.machine[digest] not in (None, state.items[digest].expected)]
    disputed = [digest for digest in plain if digest in state.disputed]
    copied, same = (_like_machine(state, digests, reviewer) for digests in (traps, disputed))

    def is_shown(machine_right: float) -> bool:
        counts = {"same": same, "disputed": len(disputed), "copied": copied, "traps": len(traps)}
        return copying_log_e(**counts, machine_right=machine_right) >= _LOG_E

    if not is_shown(_MACHINE_RIGHT) or not is_shown(_machine_right(state, reviewer)):
        return False
    parts = [f"{same} of {len(disputed)} items that the judges disagree about have the answer of most judges"]
    if copied:
        parts.append(
            f"{copied} of {len(traps)} items whose known answer the machine misses have the machine's"
        )
    flag("copies_machine", ", and ".join(parts))
    return True


def _like_machine(state: QueueState, digests: Collection[str], reviewer: str) -> int:
    return sum(1 for digest in digests if _blind(state, digest, reviewer) == state.machine[digest])


def _machine_right(state: QueueState, reviewer: str) -> float:
    """Return the largest share of disputed items on which somebody who judges agrees with the machine.

    It is larger than the default where known items, or the answers of others to disputed items, leave no doubt that the
    machine is right more often: then agreement with it says little.
    """
    right = trials = 0
    for digest in state.known:
        if digest in state.disputed:
            trials += 1
            right += state.machine[digest] == state.items[digest].expected
    for other, did in state.reviewers.items():
        if other != reviewer:
            disputed = [digest for digest in did.answered if digest in state.disputed]
            trials += len(disputed)
            right += _like_machine(state, disputed, other)
    if right <= _MACHINE_RIGHT * trials:
        return _MACHINE_RIGHT
    return max(_MACHINE_RIGHT, mean_interval(right, trials, alpha=_ALPHA)[0])


def _changes_of_mind(state: QueueState, reviewer: str, plain: Collection[str], flag: Report) -> None:
    differed = gave_up = 0
    for digest in plain:
        response, machine = state.response(digest, reviewer), state.machine[digest]
        if machine is not None and response.blind is not None and response.blind != machine:
            differed += 1
            gave_up += response.answer == machine
    if log_mean_exp(_copied_ratios(gave_up, differed, _YIELDING)) >= _LOG_E:
        flag(
            "copies_machine",
            f"{gave_up} of {differed} answers that differed from the machine's became it when it was shown",
        )


def _attention(state: QueueState, reviewer: str, answered: Collection[str], flag: Report) -> None:
    """Flag wrong answers to known items, changed ones to repeats, or both together: their product is one e-process."""
    known = [digest for digest in answered if state.items[digest].why == "known"]
    wrong = sum(1 for digest in known if _blind(state, digest, reviewer) != state.items[digest].expected)
    pairs = [
        (again, first)
        for again in answered
        if (first := state.items[again].repeats) and state.response(first, reviewer).answer is not None
    ]
    other = sum(
        1 for again, first in pairs if _blind(state, again, reviewer) != _blind(state, first, reviewer)
    )
    careless = bernoulli_log_e(wrong, len(known), null=_CARELESS, side="greater")
    unsteady = bernoulli_log_e(other, len(pairs), null=_UNSTEADY, side="greater")
    missed = f"{wrong} of {len(known)} items whose right answer is known are wrong"
    changed = f"{other} of {len(pairs)} items that were asked again got another answer"
    if careless >= _LOG_E:
        flag("inattentive", missed)
    if unsteady >= _LOG_E:
        flag("inconsistent", changed)
    if max(careless, unsteady) < _LOG_E <= careless + unsteady:
        flag("inattentive", f"{missed}, and {changed}")


def _same_choice(state: QueueState, reviewer: str, digests: Collection[str], flag: Report) -> None:
    """Flag a reviewer who presses one key again and again, unless what the machine says makes that plausible."""
    pressed: list[tuple[str, int]] = []
    for digest in digests:
        answer = _blind(state, digest, reviewer)
        place = None if answer is None else position_of(state.items[digest], reviewer, answer)
        if place is not None:
            pressed.append((digest, place))
    if len(pressed) < _MIN_SAME:
        return
    most, hits = Counter(place for _, place in pressed).most_common(1)[0]
    if hits < _SAME_SHARE * len(pressed):
        return
    votes = [(digest, state.machine[digest]) for digest, _ in pressed]
    expected = [
        position_of(state.items[digest], reviewer, answer) == most
        for digest, answer in votes
        if answer is not None
    ]
    share = sum(expected) / len(expected) if expected else 1 / 2
    null = min(share + _MARGIN, _MOST_EXPECTED)
    if bernoulli_log_e(hits, len(pressed), null=null, side="greater") >= _LOG_E:
        flag(
            "same_choice",
            f"{hits} of {len(pressed)} answers are choice number {most + 1} on the screen; the machine would have "
            f"chosen it in {share:.0%} of them",
        )


def _hasty(state: QueueState, reviewer: str, answered: Collection[str], flag: Report) -> None:
    # The time of an answer after the votes were shown is that of the change, and 0 is an unknown time.
    timed = [
        (state.items[digest], response.seconds)
        for digest in answered
        if (response := state.response(digest, reviewer)).seconds > 0 and not response.revealed
    ]
    hasty = sum(1 for item, seconds in timed if seconds < shortest_seconds(item))
    if bernoulli_log_e(hasty, len(timed), null=_HASTY, side="greater") >= _LOG_E:
        flag("hasty", f"{hasty} of {len(timed)} answers came faster than the text can be read")


def _blind(state: QueueState, digest: str, reviewer: str) -> Answer | None:
    """Return the answer before the votes were shown or, where that is unknown, the standing one."""
    response = state.response(digest, reviewer)
    return response.answer if response.blind is None else response.blind
