"""Read the held-out sessions of labelled.jsonl, and which task groups training has sessions of."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.errors import StageError
from learntoask.core.json_lines import read_records
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession
from learntoask.evaluation.report_schema import DataReport


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The sessions to evaluate on, chosen from `available`, and the task groups that training has sessions of."""

    sessions: tuple[LabelledSession, ...]
    available: int
    training_sessions: int
    seen_groups: frozenset[str]


def read_held_out(labelled: Path, pack: Pack, *, max_sessions: int | None = None) -> HeldOut:
    """Read labelled.jsonl and keep the test sessions that have a decision point, at most `max_sessions`.

    The choice depends only on session ids, so all runs on the same test split are evaluated on the same sessions and
    can be compared in pairs. Raises StageError if no session is left.
    """
    kept: list[LabelledSession] = []
    seen: set[str] = set()
    training = 0
    for labelled_session in read_records(labelled, LabelledSession):
        session = labelled_session.session
        if session.split == "test" and labelled_session.samples:
            kept.append(labelled_session)
        elif session.split == "train":
            training += 1
            seen.add(pack.task(session.task).group_name)
    if not kept:
        raise StageError(
            "there are no held-out sessions with a labelled decision point to evaluate on; "
            "raise spec.dataset.testShare or give spec.dataset.testUri",
            reason="NothingToEvaluate",
        )
    return HeldOut(
        sessions=choose(tuple(kept), max_sessions),
        available=len(kept),
        training_sessions=training,
        seen_groups=frozenset(seen),
    )


def choose(sessions: tuple[LabelledSession, ...], at_most: int | None) -> tuple[LabelledSession, ...]:
    """Choose up to `at_most` sessions by the digest of their ids; return them in the order of their ids."""

    def draw(labelled: LabelledSession) -> str:
        return hashlib.sha256(labelled.session.session_id.encode("utf-8", "surrogatepass")).hexdigest()

    chosen = sorted(sessions, key=draw)[:at_most]
    return tuple(sorted(chosen, key=lambda labelled: labelled.session.session_id))


def data_report(held_out: HeldOut, pack: Pack, *, inputs: Mapping[str, Path]) -> DataReport:
    """Return counts of the data that the figures are computed from, with everything that was quarantined."""
    samples = [sample for labelled in held_out.sessions for sample in labelled.samples]
    stops = sum(sample.decision == "stop" for sample in samples)
    seen = sum(
        pack.task(labelled.session.task).group_name in held_out.seen_groups for labelled in held_out.sessions
    )
    return DataReport(
        sessions=len(held_out.sessions),
        available=held_out.available,
        training_sessions=held_out.training_sessions,
        decision_points=len(samples),
        continues=len(samples) - stops,
        stops=stops,
        seen_sessions=seen,
        unseen_sessions=len(held_out.sessions) - seen,
        ends=_count(labelled.session.end.value for labelled in held_out.sessions),
        labellers=_count(sample.provenance.labeller for sample in samples),
        quarantined={
            stage: _count(_reasons(folder / "quarantine.jsonl"))
            for stage, folder in inputs.items()
            if (folder / "quarantine.jsonl").exists()
        },
        labelling=_llm_counts(inputs["label"] / "llm.json"),
    )


def _llm_counts(path: Path) -> dict[str, JsonValue] | None:
    found: dict[str, JsonValue] | None = json.loads(path.read_bytes()) if path.exists() else None
    return found


def _reasons(quarantine: Path) -> Iterator[str]:
    with quarantine.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            yield str(json.loads(line).get("reason", "unknown"))


def _count(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
