"""Compare a pack with the truth through what it does: which turns it says ask for a field, and where it stops.

Fields are matched through the gold items of the turns that their patterns find, never through names or embeddings. An
item is a gold slot in the sessions that the pack takes for one task: a pack that sees one task in "search a flight" and
"book a flight" asks for one origin, and a pack that sees two asks for two. A field is right if at least half of its
turns carry one gold item and it finds at least 30 % of that item's turns; a gold item counts for one field only, so two
fields for one item are one mistake. Items that are asked for in fewer than five turns are too rare to be missed, and a
field that would be right for one of them counts neither as right nor as wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.manifest import Dataset
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.labeling.labellers.lexicon import LexiconLabeller
from learntoask.labeling.logs.reader import LogReader
from sklearn.metrics import adjusted_rand_score

from .domains import Domain

PURE = 0.5
COVERED = 0.3
FEWEST = 5  # turns of a gold item that counts
Field = tuple[str, str]
"""(task of the pack, field)"""
Item = tuple[str, str]
"""(task of the pack, gold slot)"""
TurnId = tuple[str, int]


@dataclass(frozen=True)
class Labelled:
    """What the pack makes of logs: the turns of each field, the stops, and the turns and items that are true."""

    fields: dict[Field, set[TurnId]]
    items: dict[Item, set[TurnId]]
    task_of: dict[str, str]  # the pack's task of a session
    stops: set[TurnId]
    true_stops: set[TurnId]
    true_asks: dict[TurnId, frozenset[str]]
    goals: dict[TurnId, set[Field]]  # by the pack's labels
    true_goals: dict[TurnId, frozenset[str]]


@dataclass(frozen=True)
class Score:
    """A share of what was found that is right, and of what is true that was found."""

    precision: float
    recall: float
    found: int
    true: int

    @property
    def f1(self) -> float:
        """The harmonic mean."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def __str__(self) -> str:
        shares = f"F1 {self.f1:.2f}, precision {self.precision:.3f}, recall {self.recall:.3f}"
        return f"{shares} ({self.found} found, {self.true} true)"


def label(pack: Pack, domain: Domain, logs: Path) -> Labelled:
    """Label the logs with the pack's patterns."""
    labeller = LexiconLabeller(pack)
    fields: dict[Field, set[TurnId]] = defaultdict(set)
    items: dict[Item, set[TurnId]] = defaultdict(set)
    asks: dict[TurnId, frozenset[str]] = {}
    stops: set[TurnId] = set()
    goals: dict[TurnId, set[Field]] = {}
    task_of: dict[str, str] = {}
    for line in domain.lines:
        for start, asked in domain.truths[line["session_id"]].asks.items():
            asks[line["session_id"], start] = asked
    for entry in LogReader(pack, Dataset(uri=logs.name)).read(logs):
        if entry.session is None:
            continue
        session: Session = entry.session
        task_of[session.session_id] = session.task
        for start, asked in domain.truths[session.session_id].asks.items():
            for item in asked:
                items[session.task, item].add((session.session_id, start))
        for turn, found in zip(session.turns, labeller.label(session).turns, strict=True):
            place = (session.session_id, turn.start)
            goals[place] = {(session.task, item.field) for item in found.remaining}
            for name in found.requested:
                fields[session.task, name].add(place)
        if session.stop_turn is not None:
            stops.add((session.session_id, session.turns[session.stop_turn].start))
    return Labelled(
        fields=dict(fields),
        items=dict(items),
        task_of=task_of,
        stops=stops,
        true_stops={(name, truth.stop) for name, truth in domain.truths.items() if truth.stop is not None},
        true_asks=asks,
        goals=goals,
        true_goals={
            (name, start): goal
            for name, truth in domain.truths.items()
            for start, goal in truth.goals.items()
        },
    )


def matches(labelled: Labelled, *, fewest: int = FEWEST) -> dict[Field, Item]:
    """Return the gold item of each field that is right, of the items with at least `fewest` turns."""
    candidates = []
    for field, turns in labelled.fields.items():
        counts: Counter[Item] = Counter(
            (labelled.task_of[turn[0]], item)
            for turn in turns
            for item in labelled.true_asks.get(turn, frozenset())
        )
        for item, count in counts.items():
            true = len(labelled.items[item])
            if true >= fewest and count >= PURE * len(turns) and count >= COVERED * true:
                candidates.append((count, field, item))
    taken: dict[Field, Item] = {}
    for _, field, item in sorted(candidates, key=lambda one: (-one[0], one[1:])):
        if field not in taken and item not in taken.values():
            taken[field] = item
    return taken


def field_score(labelled: Labelled) -> Score:
    """Return the share of fields that are right and of gold items that have a field."""
    right = len(matches(labelled))
    rare = sum(len(labelled.items[item]) < FEWEST for item in matches(labelled, fewest=1).values())
    found = len(labelled.fields) - rare
    true = sum(len(turns) >= FEWEST for turns in labelled.items.values())
    return Score(right / max(1, found), right / max(1, true), found, true)


def pattern_score(taken: dict[Field, Item], labelled: Labelled) -> Score:
    """Return how far the turns of the fields in `taken`, matched on other logs, are those of their items."""
    right = found = 0
    for field, turns in labelled.fields.items():
        if field not in taken:
            continue
        found += len(turns)
        right += sum(taken[field][1] in labelled.true_asks.get(turn, frozenset()) for turn in turns)
    true = sum(len(turns) for item, turns in labelled.items.items())
    covered = len(
        {
            (turn, taken[field][1])
            for field, turns in labelled.fields.items()
            if field in taken
            for turn in turns
            if taken[field][1] in labelled.true_asks.get(turn, frozenset())
        }
    )
    return Score(right / max(1, found), covered / max(1, true), found, true)


def goal_score(taken: dict[Field, Item], labelled: Labelled) -> Score:
    """Return how far the micro-goals that the pack labels are the true ones, by (decision point, item)."""
    right = found = 0
    for place, goal in labelled.goals.items():
        items = {taken[field][1] if field in taken else "-" for field in goal}
        found += len(items)
        right += len(items & labelled.true_goals.get(place, frozenset()))
    true = sum(len(goal) for goal in labelled.true_goals.values())
    return Score(right / max(1, found), right / max(1, true), found, true)


def stop_score(labelled: Labelled) -> Score:
    """Return how far the pack's stops are the true ones."""
    both = len(labelled.stops & labelled.true_stops)
    return Score(
        both / max(1, len(labelled.stops)),
        both / max(1, len(labelled.true_stops)),
        len(labelled.stops),
        len(labelled.true_stops),
    )


def rand_index(groups: Sequence[int], true: Sequence[str]) -> float:
    """Return the adjusted Rand index of two divisions of the same sessions."""
    return float(adjusted_rand_score(list(true)[: len(groups)], list(groups))) if groups else 0.0
