"""The weights of the anchor's turns, by how many turns of the logs each of them stands for.

Turns are drawn without regard to the graders, but what the judges find is known of every turn. A sample holds more or
fewer turns on which they differ than the logs do, and κ depends on that share more than on anything else. So the turns
of a stratum are weighted by their numbers in the logs, those on which the judges differ and the others apart
(post-stratification; Holt and Smith 1979).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from learntoask.calibration.answers import Answered, Review
from learntoask.calibration.draw.findings import Finding
from learntoask.calibration.draw.plan import ANCHOR, sort_of

_FEWEST = 3  # answered turns of a group; smaller groups of a stratum are not told apart


def weighted(review: Review, measured: Iterable[Finding]) -> Review:
    """Return the review with the anchor's `asks_for` items in their groups, with the probability of each.

    `measured` are the findings of all turns of the sessions that the anchor is drawn from.
    """
    group_of = {
        (one.session_id, one.turn): (sort_of(one), len(set(one.asks.values())) > 1) for one in measured
    }
    turns = [one for one in review.of("anchor", kind="asks_for") if _key(one) in group_of]
    sizes = Counter(group_of.values())
    drawn = Counter(group_of[_key(one)] for one in turns)
    joined = {
        sort
        for sort, _ in drawn
        if any(sizes[sort, differ] and drawn[sort, differ] < _FEWEST for differ in (True, False))
    }
    found = {}
    for one in turns:
        sort, differ = group_of[_key(one)]
        name, groups = f"{ANCHOR}{sort}", [(sort, True), (sort, False)]
        if sort not in joined:
            name, groups = f"{name}, {'judges differ' if differ else 'judges agree'}", [(sort, differ)]
        share = sum(drawn[group] for group in groups) / sum(sizes[group] for group in groups)
        item = one.item.model_copy(update={"stratum": name, "inclusion": min(1.0, share)})
        found[one.digest] = replace(one, item=item)
    return replace(review, answered=[found.get(one.digest, one) for one in review.answered])


def _key(one: Answered) -> tuple[str, int]:
    return one.item.origin.session_id, one.item.origin.turn
