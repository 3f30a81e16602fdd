"""Merge the shards of the stage label into one output, byte for byte what a single pod would have written.

`runner.shards` calls `merge` once all shards are published.
"""

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


def merge(context: StageContext, folders: Sequence[Path]) -> StageSummary:
    """Merge the outputs of all shards, which are in `folders` by shard index, into the stage's output.

    Raises StageError when too many labels failed or nothing can be learned from them, as `labeling.stage.run` does.
    """
    shards = [Shard(index=index, count=len(folders)) for index in range(len(folders))]
    with (
        ExitStack() as opened,
        JsonLinesWriter(context.out / "labelled.jsonl") as labelled,
        JsonLinesWriter(context.out / "quarantine.jsonl") as quarantined,
    ):
        sessions = opened.enter_context((context.inputs["prepare"] / "sessions.jsonl").open("rb"))
        lines = [opened.enter_context((folder / "labelled.jsonl").open("rb")) for folder in folders]
        refused = [
            _QuarantineReader(opened.enter_context((folder / "quarantine.jsonl").open("rb")))
            for folder in folders
        ]
        for line in sessions:
            session_id = json.loads(line)["session_id"]
            index = next(shard.index for shard in shards if shard.holds(session_id))
            labelled.write(next(lines[index]).rstrip(b"\n"))
            for record in refused[index].of(session_id):
                quarantined.write(record.rstrip(b"\n"))
    counts, reasons, usages = zip(
        *(LabelCounts.read(folder / COUNTS_FILE) for folder in folders), strict=True
    )
    return finish(
        context,
        sum(counts, LabelCounts()),
        sum(reasons, Counter()),
        sum_usages([usage for usage in usages if usage]),
    )


class _QuarantineReader:
    """Reads a quarantine file session by session. Its lines are in the order of the sessions; most have none."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._groups = groupby(lines, key=lambda line: str(json.loads(line)["session_id"]))
        self._next = next(self._groups, None)

    def of(self, session_id: str) -> list[bytes]:
        """Return the lines of the next session, `session_id`."""
        if self._next is None or self._next[0] != session_id:
            return []
        lines = list(self._next[1])
        self._next = next(self._groups, None)
        return lines


def sum_usages(usages: Sequence[dict[str, Any]]) -> dict[str, JsonValue]:
    """Add up what the language models of all pods used.

    Numbers and counts by name are added; any other value (the names of the models) is the same in all of `usages`.
    """
    total: dict[str, Any] = {}
    for usage in usages:
        for name, value in usage.items():
            if isinstance(value, dict):
                total[name] = dict(Counter(total.get(name, {})) + Counter(value))
            elif isinstance(value, int | float):
                total[name] = round((total.get(name) or 0) + value, 6)
            else:
                total.setdefault(name, value)
    return total
