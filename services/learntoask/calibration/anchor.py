"""The sealed anchor: the answers that no label and no revision was made from, and the looks that were taken at them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from learntoask.calibration.acceptance import AcceptanceSettings, AnchorLook, RevisedItem, judge_revision
from learntoask.calibration.agreement import Judgement
from learntoask.calibration.answers import Answered, Review
from learntoask.calibration.gate import GateResult, GateSettings, JudgedItem, decide, earlier_looks
from learntoask.core.digest import digest_of
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.review.records import CANNOT_SAY


class Anchor:
    """Tests revisions on the anchor, and decides the gate by it.

    `earlier` are the items that were answered when the queue's answers were published before. Those of them that are
    on this anchor were looked at then, so this look has less of the error probability.
    """

    def __init__(
        self, settings: Calibrate, review: Review, *, earlier: Sequence[frozenset[str]] = ()
    ) -> None:
        self._settings = settings
        self._asks = review.of("anchor", kind="asks_for")
        self._digest = digest_of([*sorted(one.digest for one in self._asks)])
        seen = {frozenset(one.digest for one in self._asks if one.digest in items) for items in earlier}
        self._earlier = sorted(filter(None, seen), key=len)
        self._looks: tuple[AnchorLook, ...] = ()
        self.tried: list[dict[str, JsonValue]] = []

    def accepts(self, what: str, *, before: Judgement, after: Judgement, because: Sequence[str]) -> bool:
        """Return whether a revision is accepted (see `judge_revision`), and record the look.

        `because` are the digests of the items whose answers caused the revision.
        """
        tried: dict[str, JsonValue] = {"what": what, "because": list(because)}
        self.tried.append(tried)
        items = [_revised(one, before, after) for one in self._asks]
        if not any(item.before is not None and item.after is not None for item in items):
            self.tried[-1] |= {"outcome": "rejected", "reason": "nobody has answered an anchor item"}
            return False
        found = judge_revision(
            items,
            revision=digest_of(what),
            anchor=self._digest,
            looks=self._looks,
            settings=AcceptanceSettings(looks=self._settings.looks, round=len(self._earlier)),
        )
        self._looks = found.looks
        tried |= {"outcome": found.outcome, "reason": found.reason}
        return found.outcome == "accepted"

    def gate(self, judges: Iterable[tuple[str, Judgement]]) -> dict[str, JsonValue]:
        """Return the verdict on each judge; the gate opens when all pass.

        A finding that is missing counts as one that finds nothing.
        """
        settings = GateSettings(
            bound=self._settings.min_kappa,
            fewest=self._fewest_items(),
            rarer=self._settings.min_rarer,
            most=max(GateSettings().most, self._settings.min_answers),
        )
        results: dict[str, GateResult] = {}
        for name, judge in judges:
            items = {one.digest: _judged(one, judge) for one in self._asks}
            earlier = [[items[digest] for digest in digests] for digests in self._earlier]
            results[name] = decide(
                [*items.values()], settings=settings, looks=earlier_looks(earlier, settings)
            )
        verdicts = {result.verdict for result in results.values()}
        verdict = next((one for one in ("refused", "needs_more") if one in verdicts), "passed")
        return {
            "verdict": verdict,
            "more": max(result.more for result in results.values()),
            "judges": {name: result.model_dump(mode="json") for name, result in results.items()},
        }

    def _fewest_items(self) -> int:
        """Return the number of items that `minAnswers` answers about fields take."""
        fields = sum(len(one.keys) for one in self._asks)
        return math.ceil(self._settings.min_answers * len(self._asks) / fields) if fields else 1

    def looks(self) -> list[JsonValue]:
        """Return all looks at the anchor, for the lineage."""
        return [look.model_dump(mode="json") for look in self._looks]


def _key(one: Answered) -> tuple[str, int]:
    return one.item.origin.session_id, one.item.origin.turn


def _person(one: Answered) -> frozenset[str]:
    return frozenset(key for key, said in one.keys.items() if said)


def _revised(one: Answered, before: Judgement, after: Judgement) -> RevisedItem:
    return RevisedItem(
        session_id=one.item.origin.session_id,
        choices=frozenset(one.keys),
        person=_person(one),
        before=before(_key(one)),
        after=after(_key(one)),
        stratum=one.item.stratum,
        inclusion=one.item.inclusion,
    )


def _judged(one: Answered, judge: Judgement) -> JudgedItem:
    said = [answer for _, answer in sorted(one.by_reviewer.items()) if answer != CANNOT_SAY]
    return JudgedItem(
        session_id=one.item.origin.session_id,
        choices=frozenset(one.keys),
        person=_person(one),
        machine=judge(_key(one)) or frozenset(),
        second=frozenset(said[1]) if len(said) > 1 else None,
        stratum=one.item.stratum,
        inclusion=one.item.inclusion,
    )
