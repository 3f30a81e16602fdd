"""One output of the label stage from the shares of several pods: the very bytes that one pod would have written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from learntoask.core.stages.contract import Shard, StageContext, StageSummary
from learntoask.labeling.counts import COUNTS_FILE, LabelCounts
from learntoask.labeling.logs.lines import JsonLinesWriter
from learntoask.labeling.stage import finish


def merge(context: StageContext, shares: Sequence[Path]) -> StageSummary:
    """Publishes what `labeling.stage.run` would. Raises StageError as it does."""
    holders = [Shard(index=index, count=len(shares)) for index in range(len(shares))]
    with (
        ExitStack() as opened,
        JsonLinesWriter(context.out / "labelled.jsonl") as labelled,
        JsonLinesWriter(context.out / "quarantine.jsonl") as quarantined,
    ):
        sessions = opened.enter_context((context.inputs["prepare"] / "sessions.jsonl").open("rb"))
        lines = [opened.enter_context((share / "labelled.jsonl").open("rb")) for share in shares]
        aside = [
            _QuarantineReader(opened.enter_context((share / "quarantine.jsonl").open("rb")))
            for share in shares
        ]
        for line in sessions:
            session_id = json.loads(line)["session_id"]
            index = next(holder.index for holder in holders if holder.holds(session_id))
            labelled.write(next(lines[index]).rstrip(b"\n"))
            for one in aside[index].of(session_id):
                quarantined.write(one.rstrip(b"\n"))
    tallies, reasons, counts = zip(*(LabelCounts.read(share / COUNTS_FILE) for share in shares), strict=True)
    return finish(
        context,
        sum(tallies, LabelCounts()),
        sum(reasons, Counter()),
        sum_counts([one for one in counts if one]),
    )


class _QuarantineReader:
    """The lines of a quarantine, which come in the order of their sessions; most sessions have none."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._groups = groupby(lines, key=lambda line: str(json.loads(line)["session_id"]))
        self._next = next(self._groups, None)

    def of(self, session_id: str) -> list[bytes]:
        if self._next is None or self._next[0] != session_id:
            return []
        lines = list(self._next[1])
        self._next = next(self._groups, None)
        return lines


def sum_counts(counts: Sequence[dict[str, Any]]) -> dict[str, JsonValue]:
    """What the pods' models took together: numbers add up, and so do counts by name; names are the same for all."""
    total: dict[str, Any] = {}
    for one in counts:
        for name, value in one.items():
            if isinstance(value, dict):
                total[name] = dict(Counter(total.get(name, {})) + Counter(value))
            elif isinstance(value, int | float):
                total[name] = round((total.get(name) or 0) + value, 6)
            else:
                total.setdefault(name, value)
    return total
