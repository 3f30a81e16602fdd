"""Arrange calibration.json for the report: what people were asked, how far they agree, and what was corrected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from learntoask.statistics.bootstrap import Estimate

_JUDGES = {"labeller": "labels", "rewarding": "rewarding grader", "reporting": "reporting grader"}
_VERDICTS = {"passed": "passed", "refused": "refused", "needs_more": "too few answers to decide"}


@dataclass(frozen=True)
class PeopleTable:
    """A section of the report. `agreement` holds (judge, κ before, κ after, verdict), `facts` (name, text)."""

    agreement: tuple[tuple[str, Estimate, Estimate, str], ...]
    facts: tuple[tuple[str, str], ...]


def people_table(record: Mapping[str, Any]) -> PeopleTable:
    """Return the section; `record` is the content of calibration.json."""
    before, after = (record["agreement"][when]["asks_for"] for when in ("before", "after"))
    verdicts = {name: judge["verdict"] for name, judge in record["gate"]["judges"].items()}
    return PeopleTable(
        agreement=tuple(
            (title, _kappa(before.get(name, {})), _kappa(after[name]), _VERDICTS[verdicts[name]])
            for name, title in _JUDGES.items()
            if name in after
        ),
        facts=tuple(_facts(record)),
    )


def _kappa(found: Mapping[str, Any]) -> Estimate:
    return Estimate(
        value=found.get("kappa"), low=found.get("low"), high=found.get("high"), n=found.get("answers", 0)
    )


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    answers, between = record["answers"], record["people"]["between"]
    yield "answers", f"{answers['given']} of about {answers['wanted']}, {answers['cannot_say']} cannot say"
    if between["kappa"] is not None:
        yield "κ between people", f"{between['kappa']:.2f} on {between['items']} questions"
    for name, count in record["labels"].items():
        if isinstance(count, int):
            yield f"labels: {name.replace('_', ' ')}", str(count)
    for tried in record["revisions"]:
        yield f"revision: {tried['what']}", f"{tried['outcome']}: {tried['reason']}"
    yield "digest of the answers", str(record["digests"]["answers"])[:12]
