"""Purge and correct the labels of many sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from pydantic import JsonValue

from learntoask.calibration.draw.findings import LABELLER, Finding
from learntoask.calibration.labels.doubts import Doubt, find_doubts
from learntoask.calibration.labels.evidence import (
    ASKED_FROM,
    Asked,
    Evidence,
    Implied,
    asked_chances,
    implied_labels,
    judges_of,
)
from learntoask.calibration.labels.posterior import JudgeRates
from learntoask.calibration.labels.purge import (
    BinRecord,
    People,
    Verdict,
    by_people,
    decide_fate,
    judge_doubts,
    labels_said,
)
from learntoask.calibration.labels.rewrite import Rewritten, rewrite
from learntoask.calibration.labels.sessions import LabelledLog
from learntoask.core.pack import Pack


@dataclass
class Corrections:
    """The sessions whose labels changed, by id, and what was decided."""

    sessions: dict[str, Rewritten] = field(default_factory=dict)
    logs: dict[str, LabelledLog] = field(default_factory=dict)
    bins: dict[str, BinRecord] = field(default_factory=dict)
    questions: dict[str, BinRecord] = field(default_factory=dict)
    rates: dict[str, tuple[float, float]] = field(default_factory=dict)  # by judge: sensitivity, specificity

    @property
    def changed(self) -> bool:
        return bool(self.sessions)

    def record(self) -> dict[str, JsonValue]:
        """Return the counts, what people say of each bin, and the rates of the judges."""
        done = self.sessions.values()
        return {
            "sessions_changed": len(self.sessions),
            "purged": sum(len(one.purged) for one in done),
            "purged_by_reason": dict(Counter(gone.reason.value for one in done for gone in one.purged)),
            "corrected": sum(one.corrected for one in done),
            "added": sum(one.added for one in done),
            "bins": {name: asdict(found) for name, found in self.bins.items()},
            "question_bins": {name: asdict(found) for name, found in self.questions.items()},
            "judges": {
                name: {"sensitivity": round(sensitivity, 4), "specificity": round(specificity, 4)}
                for name, (sensitivity, specificity) in self.rates.items()
            },
        }

    def quarantined(self, labeller: str) -> Iterator[dict[str, JsonValue]]:
        """Yield the quarantine records of the purged samples, in the form of the stage label."""
        for session_id, one in self.sessions.items():
            for gone in one.purged:
                yield {
                    "session_id": session_id,
                    "turn": gone.turn,
                    "message_index": self.logs[session_id].log.turns[gone.turn].start,
                    "labeller": labeller,
                    "reason": gone.reason.value,
                    "message": gone.message,
                }


def correct(
    logs: Sequence[LabelledLog], findings: Sequence[Finding], people: People, *, pack: Pack
) -> Corrections:
    """Return what becomes of the labels of `logs`, by the findings of judges and the answers of people.

    Without any answer every label stays as it is.
    """
    done = Corrections()
    if not (people.pairs or people.acts or people.goals):
        return done
    ids = {log.session_id for log in logs}
    own = [finding for finding in findings if finding.session_id in ids]
    by_judges, _ = asked_chances(own, {}, pack=pack)
    doubts, _ = _doubts(logs, Evidence.of(own, by_judges, {}))
    asked, rates = asked_chances(own, people.pairs, pack=pack)
    raised, implied = _doubts(logs, Evidence.of(own, asked, people.acts))
    known = {doubt.key: doubt for doubt in (*doubts, *raised)}
    said = labels_said(list(known.values()), implied, people)
    verdicts, done.bins = judge_doubts(doubts, said)
    verdicts += by_people(list(known.values()), said)
    requested, done.questions = corrected_requests(own, by_judges, people)
    done.rates = _rates_by_judge(own, rates)
    grouped: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        grouped.setdefault(verdict.doubt.log.session_id, []).append(verdict)
    for log in logs:
        found = rewrite(
            log,
            grouped.get(log.session_id, []),
            implied[log.session_id],
            requested.get(log.session_id, {}),
        )
        if found.labelled != log.labelled:
            done.sessions[log.session_id] = found
            done.logs[log.session_id] = log
    return done


def _doubts(logs: Sequence[LabelledLog], evidence: Evidence) -> tuple[list[Doubt], dict[str, list[Implied]]]:
    """Return the doubts about all labels, and the implied labels of each session."""
    implied = {log.session_id: implied_labels(log, evidence) for log in logs}
    return [
        doubt for log in logs for doubt in find_doubts(log, implied[log.session_id], evidence.doubted)
    ], implied


def corrected_requests(
    findings: Sequence[Finding], asked: Asked, people: People
) -> tuple[dict[str, dict[int, frozenset[str]]], dict[str, BinRecord]]:
    """Return the turns whose requested fields are corrected, by session, and the record of each bin of questions.

    A turn that people answered about gets their answer. Of the others, what is probable by all judges replaces the
    labeller's finding where people mostly confirmed such a change. `asked` are the probabilities by the judges alone.
    """
    bins: dict[str, list[Finding]] = {}
    for one in findings:
        labelled = one.asks.get(LABELLER)
        if labelled is not None and frozenset(labelled) != _probable(one, asked):
            bins.setdefault(_bin(labelled, _probable(one, asked)), []).append(one)
    found: dict[str, dict[int, frozenset[str]]] = {}
    records: dict[str, BinRecord] = {}
    for name, members in sorted(bins.items()):
        answered = [one for one in members if (one.session_id, one.turn) in people.pairs]
        right = sum(_probable(one, asked) == _said(one, people) for one in answered)
        wrong = sum(frozenset(one.asks[LABELLER]) != _said(one, people) for one in answered)
        fate = decide_fate(len(answered), wrong, right)
        records[name] = BinRecord(len(members), len(answered), wrong, right, fate)
        for one in members:
            if fate == "correct" and (one.session_id, one.turn) not in people.pairs:
                found.setdefault(one.session_id, {})[one.turn] = _probable(one, asked)
    for (session_id, turn), said in people.pairs.items():
        found.setdefault(session_id, {})[turn] = frozenset(field for field, yes in said.items() if yes)
    return found, records


def _probable(finding: Finding, asked: Asked) -> frozenset[str]:
    chances = asked.get((finding.session_id, finding.turn), {})
    return frozenset(field for field, chance in chances.items() if chance >= ASKED_FROM)


def _said(finding: Finding, people: People) -> frozenset[str]:
    said = people.pairs[finding.session_id, finding.turn]
    return frozenset(field for field, yes in said.items() if yes)


def _bin(labelled: Sequence[str], probable: frozenset[str]) -> str:
    if not labelled:
        return "no field by the labeller"
    if not probable:
        return "no field by the graders"
    return "other fields" if not probable & set(labelled) else "more or fewer fields"


def _rates_by_judge(findings: Sequence[Finding], rates: JudgeRates | None) -> dict[str, tuple[float, float]]:
    if rates is None:
        return {}
    judges = judges_of(findings)
    return {
        judge: (float(rates.sensitivity[place]), float(rates.specificity[place]))
        for place, judge in enumerate(judges)
    }
