"""Which items people are asked, and of which sessions.

Three fifths of the budget are for the anchor, in sessions of the evaluation split. Most of it are single turns of many
sessions, because answers about one session resemble each other and count for less; relatively most of them are
questions for which the labeller knows no field, where most errors are. The rest are decision points with their whole
micro-goal, or with whether the expert acts, which is the human truth that metrics are corrected by. The rest of the
budget is for doubts about training labels, and for a few turns without any doubt, where all judges may be wrong
together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from math import sqrt

from learntoask.calibration.draw.findings import GRADERS, LABELLER, Finding
from learntoask.calibration.draw.items import Drawn, Items
from learntoask.calibration.draw.sampling import nested, systematic
from learntoask.calibration.draw.wordings import most_telling
from learntoask.calibration.gate import GateSettings
from learntoask.calibration.labels.doubts import Doubt, doubts_by_bin
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.calibration.labels.sessions import LabelledLog
from learntoask.core.digest import digest_of
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.pack import Pack
from learntoask.core.text.words import words
from learntoask.review.records import RESERVE, ItemSplit, ReviewItem

ANCHOR_SHARE = 0.6
KNOWN_SHARE = 0.05
REPEATED_SHARE = 0.05  # asked again by the queue
_AUDIT_SHARE = 0.15  # of the items about training labels
_POINT_SHARE = 0.15  # of the anchor's items
UNNAMED = "question without a field"
DIFFER = "judges differ"
_SPREAD = {UNNAMED: 0.5, "question": 0.3, "no question": 0.1}
"""By sort of turn, about how much findings differ from people: √(p(1 − p)) for half, a tenth and a hundredth wrong."""
_FEWEST_OF_SORT = 2  # items
ANCHOR = "anchor, "
"""How the strata of the anchor begin."""


@dataclass(frozen=True)
class Plan:
    """How many items of each sort a budget pays for."""

    anchor: int
    reserve: int  # further anchor items, for a gate that needs more answers
    train: int
    known: int

    @classmethod
    def of(cls, settings: Calibrate) -> Plan:
        known = round(settings.budget * KNOWN_SHARE)
        rest = settings.budget - known - round(settings.budget * REPEATED_SHARE)
        anchor = rest * ANCHOR_SHARE / (1 + settings.overlap_share)  # some are answered twice
        reserve = max(GateSettings().most, settings.min_answers) - round(anchor)
        return cls(
            anchor=round(anchor), reserve=max(0, reserve), train=round(rest * (1 - ANCHOR_SHARE)), known=known
        )

    @property
    def counted(self) -> int:
        """The anchor items that the gate counts, which are those about questions."""
        return self.anchor - round(self.anchor * _POINT_SHARE)

    @classmethod
    def budget_for(cls, settings: Calibrate, more: int) -> int:
        """Return the smallest budget, in steps of ten, with which the gate has `more` items."""
        wanted = cls.of(settings).counted + more
        for budget in count(settings.budget, 10):
            if cls.of(settings.model_copy(update={"budget": budget})).counted >= wanted:
                return budget
        raise AssertionError("a larger budget always pays for more items")


@dataclass(frozen=True)
class Drawer:
    """Draws the items of a review."""

    pack: Pack
    items: Items
    seed: int

    def _draw(self, what: str) -> random.Random:
        return random.Random(f"{self.seed}:{what}")

    def anchor(
        self, logs: Sequence[LabelledLog], findings: Sequence[Finding], count: int, reserve: int
    ) -> list[ReviewItem]:
        """Draw about `count` items, and `reserve` further ones of the same strata.

        The items carry no votes: nobody is shown what a machine says of the anchor, and graders have no part in the
        draw, so that another grader is measured by the same answers. The reserve is only asked where the gate needs
        more answers; which items are in it is chosen at random.
        """
        points = round((count + reserve) * _POINT_SHARE)
        groups = [
            *self._anchor_questions(logs, findings, count + reserve - points),
            *self._anchor_points(logs, points),
        ]
        drawn = sum(len(items) for group in groups for items in group)
        share = min(1.0, count / max(1, drawn))  # of every stratum
        found: list[ReviewItem] = []
        for number, group in enumerate(groups):
            self._draw(f"reserve {number}").shuffle(group)
            first = max(round(len(group) * share), min(len(group), _FEWEST_OF_SORT))
            for place, items in enumerate(group):
                asked = place < first
                found += [_asked(item, first / len(group)) if asked else _held_back(item) for item in items]
        return found

    def _anchor_questions(
        self, logs: Sequence[LabelledLog], findings: Sequence[Finding], count: int
    ) -> Iterator[list[tuple[ReviewItem, ...]]]:
        """Yield the turns of each stratum, drawn for `asks_for`."""
        by_id = {log.session_id: log.log for log in logs}
        strata: dict[str, list[Finding]] = {name: [] for name in _SPREAD}
        for finding in findings:
            strata[sort_of(finding)].append(finding)
        # Neyman's allocation (1934): by the size of a stratum and the spread within it.
        sizes = {name: len(members) * _SPREAD[name] for name, members in strata.items()}
        for name, members in strata.items():
            share = count * sizes[name] / max(1.0, sum(sizes.values()))
            drawn = systematic(
                self._by_group(members), max(_FEWEST_OF_SORT, share), self._draw(f"anchor {name}")
            )
            yield [
                (
                    self.items.asks_for(
                        by_id[finding.session_id],
                        finding.model_copy(update={"asks": {}}),
                        Drawn(
                            f"{ANCHOR}{name}",
                            chance,
                            "anchor",
                            "disagreement" if name == UNNAMED else "audit",
                        ),
                    ),
                )
                for finding, chance in drawn
            ]

    def _anchor_points(
        self, logs: Sequence[LabelledLog], count: int
    ) -> Iterator[list[tuple[ReviewItem, ...]]]:
        """Yield the decision points drawn: those where the log says that the expert acts, and others.

        At both people say whether the expert acts, about as often yes as no; at the others also the micro-goal.
        """
        stops = [(log, log.acts_at) for log in logs if log.acts_at is not None]
        others = [(log, turn) for log in logs for turn in range(len(log.log.turns)) if turn != log.acts_at]
        size = min(count / 3, max(1, len(stops)))
        for name, members in (("stop", stops), ("no stop", others)):
            ordered = sorted(
                members,
                key=lambda one: (self._group(one[0]), digest_of([self.seed, one[0].session_id, one[1]])),
            )
            found: list[tuple[ReviewItem, ...]] = []
            for (log, turn), chance in systematic(ordered, size, self._draw(f"anchor {name}")):
                drawn = Drawn(f"anchor, {name}", chance, "anchor", "audit")
                items = [self.items.is_stop(log.log, turn, {}, drawn)]
                if name == "no stop":
                    items.append(self.items.still_needed(log.log, turn, {}, drawn))
                found.append(tuple(items))
            yield found

    def _by_group(self, findings: Sequence[Finding]) -> list[Finding]:
        return sorted(
            findings,
            key=lambda one: (self._group_of(one.task), digest_of([self.seed, one.session_id, one.turn])),
        )

    def training(
        self, logs: Sequence[LabelledLog], findings: Sequence[Finding], doubts: Sequence[Doubt], count: int
    ) -> list[ReviewItem]:
        """Draw about `count` items about training labels: doubted questions, doubted labels, and some without doubt."""
        by_id = {log.session_id: log for log in logs}
        differing = [finding for finding in findings if finding.doubtful]
        keys = {(finding.session_id, finding.turn) for finding in differing}
        # A doubted label that follows from a doubted question is settled by the question, which is easier to answer.
        separate = [
            doubt
            for doubt in doubts
            if not any((doubt.log.session_id, turn) in keys for turn in doubt.deciding)
        ]
        audit = [
            finding
            for finding in findings
            if finding.question and (finding.session_id, finding.turn) not in keys
        ]
        audited = min(len(audit), round(count * _AUDIT_SHARE))
        shares = _divide(count - audited, [len(differing), len(separate)])
        found = [
            *self._questions(by_id, findings, shares[0]),
            *self._labels(separate, shares[1]),
            *(
                self.items.asks_for(
                    by_id[finding.session_id].log,
                    finding,
                    Drawn("no doubt", chance, self._split(finding.session_id), "audit"),
                )
                for finding, chance in nested(self._alike(audit), audited, self._draw("no doubt"))
            ),
        ]
        return found

    def known(
        self, logs: Sequence[LabelledLog], findings: Sequence[Finding], asked: set[TurnKey], count: int
    ) -> list[ReviewItem]:
        """Draw items whose answer is certain enough to notice a reviewer who does not read: all judges agree on it."""
        by_id = {log.session_id: log for log in logs}
        agreed = [
            finding
            for finding in findings
            if finding.question
            and len({*finding.asks.values()}) == 1
            and len(finding.asks) > 2
            and len(finding.asks.get(LABELLER, ())) == 1
            and all(max(chances.values(), default=0.0) > 0.9 for chances in finding.chances.values())
        ]
        drawn = nested(self._alike(agreed), count + len(asked), self._draw("known"))
        found = [one for one in drawn if (one[0].session_id, one[0].turn) not in asked]
        return [
            self.items.asks_for(
                by_id[finding.session_id].log,
                finding,
                Drawn("known", chance, self._split(finding.session_id), "known", finding.asks[LABELLER]),
            )
            for finding, chance in found[:count]
        ]

    def _questions(
        self, logs: dict[str, LabelledLog], findings: Sequence[Finding], count: int
    ) -> Iterator[ReviewItem]:
        """Ask about questions on which judges differ, each wording at most once, frequent wordings more probably.

        Those for which the labeller knows no field are those that most others are like.
        """
        unnamed = self._by_group([one for one in findings if one.unnamed])
        differing = self._wordings([one for one in findings if one.doubtful and not one.unnamed])
        shares = _divide(count, [len(unnamed), len(differing)])
        chosen = most_telling(unnamed, shares[0], group_of=self._group_of)
        drawn = [
            *((UNNAMED, finding, 1.0) for finding in chosen),
            *(
                (DIFFER, finding, chance)
                for finding, chance in nested(
                    [finding for finding, _ in differing],
                    count - len(chosen),
                    self._draw(DIFFER),
                    sizes=[sqrt(times) for _, times in differing],
                )
            ),
        ]
        for name, finding, chance in drawn:
            yield self.items.asks_for(
                logs[finding.session_id].log,
                finding,
                Drawn(name, chance, self._split(finding.session_id), "disagreement"),
            )

    def _labels(self, doubts: Sequence[Doubt], count: int) -> Iterator[ReviewItem]:
        """Ask about doubted labels: whether the expert acts, or what is still asked for and given."""
        bins = doubts_by_bin(doubts)
        shares = _divide(count, [len(members) for members in bins.values()])
        for (name, members), share in zip(bins.items(), shares, strict=True):
            ordered = sorted(
                members, key=lambda one: (self._group(one.log), digest_of([self.seed, *one.key]))
            )
            for doubt, chance in nested(ordered, share, self._draw(name)):
                drawn = Drawn(name, chance, self._split(doubt.log.session_id), "disagreement")
                labelled = [item.field for item in doubt.sample.remaining] if doubt.sample else []
                if doubt.kind == "stop":
                    votes = {LABELLER: True, "findings": doubt.implied.acts}
                    yield self.items.is_stop(doubt.log.log, doubt.turn, votes, drawn)
                else:
                    goals = {LABELLER: labelled, "findings": doubt.implied.fields}
                    yield self.items.still_needed(doubt.log.log, doubt.turn, goals, drawn)

    def _wordings(self, findings: Sequence[Finding]) -> list[tuple[Finding, int]]:
        """Return one finding of each wording of a task, and how often it occurs."""

        def wording(finding: Finding) -> tuple[str, str, str]:
            return self._group_of(finding.task), _found_field(finding), " ".join(words(finding.text))

        ordered = sorted(
            findings, key=lambda one: (*wording(one), digest_of([self.seed, one.session_id, one.turn]))
        )
        return [
            (members[0], len(members))
            for members in (list(part) for _, part in groupby(ordered, key=wording))
        ]

    def _alike(self, findings: Sequence[Finding]) -> list[Finding]:
        return sorted(
            findings,
            key=lambda one: (
                self._group_of(one.task),
                _found_field(one),
                digest_of([self.seed, one.session_id, one.turn]),
            ),
        )

    def _split(self, session_id: str) -> ItemSplit:
        return split_of(session_id, seed=self.seed)

    def _group(self, log: LabelledLog) -> str:
        return self._group_of(log.log.task)

    def _group_of(self, task: str) -> str:
        return self.pack.task(task).group_name


def split_of(session_id: str, *, seed: int) -> ItemSplit:
    """Return whether examples of a session are shown, or used to choose revisions."""
    return "show" if int(digest_of([seed, "split", session_id])[:8], 16) % 2 else "search"


def sort_of(finding: Finding) -> str:
    """Return the stratum from which a turn is drawn for the anchor. Graders have no part in it."""
    return UNNAMED if finding.unnamed else "question" if finding.question else "no question"


def _asked(item: ReviewItem, share: float) -> ReviewItem:
    """Return an item of a stratum of whose drawn items this share is asked."""
    return item.model_copy(update={"inclusion": round(item.inclusion * share, 6)})


def _held_back(item: ReviewItem) -> ReviewItem:
    return item.model_copy(update={"stratum": f"{RESERVE}{item.stratum}"})


def is_reserve(item: ReviewItem) -> bool:
    """Whether an item is only asked where the gate needs more answers."""
    return item.stratum.startswith(RESERVE)


def _found_field(finding: Finding) -> str:
    """Return the first field that a grader finds, or else the likeliest one, to sort like questions together."""
    for judge in GRADERS:
        if finding.asks.get(judge):
            return finding.asks[judge][0]
    for chances in finding.chances.values():
        if chances:
            return max(chances, key=lambda name: chances[name])
    return ""


def _divide(count: int, sizes: Sequence[int]) -> list[int]:
    """Divide `count` among groups by the roots of their sizes, so that a small group is not forgotten.

    No group gets more than its size; what is left goes to the groups that have room.
    """
    found = [0] * len(sizes)
    while (left := count - sum(found)) > 0:
        room = [place for place, size in enumerate(sizes) if found[place] < size]
        if not room:
            break
        roots = sum(sqrt(sizes[place]) for place in room)
        shares = {
            place: min(sizes[place] - found[place], int(left * sqrt(sizes[place]) / roots)) for place in room
        }
        if not any(shares.values()):
            shares = {max(room, key=lambda place: sizes[place] - found[place]): 1}
        for place, share in shares.items():
            found[place] += share
    return found
