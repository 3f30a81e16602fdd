"""Stage `prepare`: validate every line, find the decision points, split by session.

Two passes: the first reads the logs once and spools well-formed sessions to disk, the second writes them with their
side of the split, which depends on all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from learntoask.core.errors import StageError
from learntoask.core.manifest import Dataset
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.labeling.logs.duplicates import SignatureFile, clusters, signature
from learntoask.labeling.logs.lines import JsonLinesWriter, file_bytes
from learntoask.labeling.logs.quarantine import Quarantine, Reason
from learntoask.labeling.logs.reader import LogReader, ReadLine
from learntoask.labeling.logs.session_index import ENDS, SessionIndex
from learntoask.labeling.logs.split import SPLITS, TEST, TRAIN, split_sessions

_DUPLICATE, _NEAR_TEST = 3, 4  # fates of a session beside the sides of the split
_UNSPLIT = b'"split":"train"'
_SOURCES = ("dataset", "test")
_STEP = 500  # lines between progress reports


@dataclass
class ReadCounts:
    """Counts of the first pass."""

    lines: int = 0
    blank: int = 0
    done_bytes: int = 0


def run(context: StageContext) -> StageSummary:
    """Publishes sessions.jsonl and quarantine.jsonl. Raises StageError when no session is left to train on."""
    dataset = context.spec.dataset
    ledger, reading = SessionIndex(), ReadCounts()
    spool = context.work / "spool.jsonl"
    with (
        JsonLinesWriter(context.out / "quarantine.jsonl") as bad_lines,
        SignatureFile(context.work / "signatures.bin") as signatures,
    ):
        quarantine = Quarantine(bad_lines)
        _read(context, ledger, reading, quarantine, spool=spool, signatures=signatures)
        if not len(ledger):
            raise StageError(_nothing_left(quarantine), reason="NoSessions")
        if "test" in context.files and not any(ledger.from_test):
            problem = f"no line of {context.files['test'].name} is a session, so nothing could be tested"
            raise StageError(f"{problem}; `lta data check` shows each line's fault", reason="NoTestSessions")
        groups = clusters(signatures, threshold=dataset.near_duplicate)
        fates = _fates(ledger, groups, dataset)
        _write(context, ledger, fates, quarantine, spool=spool)
    spool.unlink()
    if not (fates == TRAIN).any():
        raise StageError("no session is left to train on: " + _nothing_left(quarantine), reason="NoSessions")
    return _summary(ledger, reading, quarantine, groups=groups, fates=fates)


def _read(
    context: StageContext,
    ledger: SessionIndex,
    reading: ReadCounts,
    quarantine: Quarantine,
    *,
    spool: Path,
    signatures: SignatureFile,
) -> None:
    total = sum(file_bytes(path) for path in context.files.values())
    with JsonLinesWriter(spool) as sessions:
        for source, read in _lines(context, ledger, reading):
            session, refusal = read.session, read.refusal
            if session is not None:
                sessions.write(session.__pydantic_serializer__.to_json(session))
                signatures.append(signature(message.content for message in session.messages))
                ledger.add(session, line=read.line.number, from_test=source == "test", acts=read.acts)
            elif refusal is not None:
                quarantine.line(
                    source=source,
                    number=read.line.number,
                    reason=refusal.reason,
                    where=refusal.where,
                    message=str(refusal),
                    text=read.line.text,
                )
            else:
                reading.blank += 1
            if reading.lines % _STEP == 0:
                context.progress.update(reading.done_bytes, total, "reading logs", sessions=len(ledger))
    context.progress.update(total, total, "reading logs", sessions=len(ledger))


def _lines(
    context: StageContext, ledger: SessionIndex, reading: ReadCounts
) -> Iterator[tuple[str, ReadLine]]:
    """Every line; the test file first, so that of two equal sessions the test one stays."""
    reader = LogReader(context.pack, context.spec.dataset)
    for source in reversed(_SOURCES):
        if source not in context.files:
            continue
        before, read_bytes = len(ledger), reading.done_bytes
        for read in reader.read(context.files[source]):
            reading.lines += 1
            reading.done_bytes = read_bytes + read.line.end
            yield source, read
            if source == "dataset" and len(ledger) - before == context.spec.dataset.max_sessions:
                break


def _fates(ledger: SessionIndex, groups: NDArray[np.int32], dataset: Dataset) -> NDArray[np.uint8]:
    """What becomes of each session [n]: a side of the split, _DUPLICATE or _NEAR_TEST."""
    fates = np.zeros(len(ledger), dtype=np.uint8)
    from_test = np.asarray(ledger.from_test, dtype=bool)
    duplicate = ledger.first_occurrences() != np.arange(len(ledger))
    fates[from_test] = TEST
    near = ~from_test & np.isin(groups, groups[from_test])
    fates[near] = _NEAR_TEST
    fates[duplicate] = _DUPLICATE
    free = np.flatnonzero(~from_test & ~near & ~duplicate)
    if len(free):
        fates[free] = split_sessions(
            groups[free],
            np.asarray(ledger.id_high, dtype=np.uint64)[free],
            validation_share=dataset.validation_share,
            test_share=0.0 if from_test.any() else dataset.test_share,
            seed=dataset.seed,
        )
    return fates


def _write(
    context: StageContext,
    ledger: SessionIndex,
    fates: NDArray[np.uint8],
    quarantine: Quarantine,
    *,
    spool: Path,
) -> None:
    first = ledger.first_occurrences()
    sides = [f'"split":"{name}"'.encode() for name in SPLITS]
    with JsonLinesWriter(context.out / "sessions.jsonl") as sessions, spool.open("rb") as spooled:
        for index, (line, fate) in enumerate(zip(spooled, fates.tolist(), strict=True)):
            if fate < _DUPLICATE:
                # Quotes inside JSON strings are escaped, so the first match is the key itself.
                sessions.write(line.rstrip(b"\n").replace(_UNSPLIT, sides[fate], 1))
            else:
                _set_aside(line, index, ledger, quarantine, same_id=int(first[index]), fate=fate)
            if index % _STEP == 0:
                context.progress.update(index, len(ledger), "writing sessions")
    context.progress.update(len(ledger), len(ledger), "writing sessions")


def _set_aside(
    line: bytes, index: int, ledger: SessionIndex, quarantine: Quarantine, *, same_id: int, fate: int
) -> None:
    session_id = from_json(line)["session_id"]
    if fate == _DUPLICATE:
        where = f"line {ledger.lines[same_id]} of the {_SOURCES[ledger.from_test[same_id]]} file"
        reason, key = Reason.DUPLICATE_SESSION_ID, "session_id"
        message = (
            f"session_id: {session_id!r:.200} occurs already in {where}; give every session an id of its own"
        )
    else:
        reason, key = Reason.NEAR_DUPLICATE_OF_TEST, "messages"
        message = "messages: nearly the same session is in the test file; training on it would be a leak"
    quarantine.line(
        source=_SOURCES[ledger.from_test[index]],
        number=ledger.lines[index],
        reason=reason,
        where=key,
        message=message,
        session_id=session_id,
    )


def _nothing_left(quarantine: Quarantine) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in quarantine.counts.most_common(5))
    found = counts or "the file is empty"
    return f"the logs hold no usable session ({found}); `lta data check` shows each line's fault"


def _summary(
    ledger: SessionIndex,
    reading: ReadCounts,
    quarantine: Quarantine,
    *,
    groups: NDArray[np.int32],
    fates: NDArray[np.uint8],
) -> StageSummary:
    kept = fates < _DUPLICATE
    ends = np.bincount(np.asarray(ledger.ends)[kept], minlength=len(ENDS))
    _, sizes = np.unique(groups[kept], return_counts=True)
    return {
        "lines": reading.lines,
        "blank_lines": reading.blank,
        "sessions": int(kept.sum()),
        "quarantined": sum(quarantine.counts.values()),
        "quarantined_by_reason": dict(quarantine.counts.most_common()),
        "split": {name: int((fates == side).sum()) for side, name in enumerate(SPLITS)},
        "ends": {end.value: int(count) for end, count in zip(ENDS, ends, strict=True)},
        "decision_points": int(np.asarray(ledger.turns)[kept].sum()),
        "stops": int(np.asarray(ledger.stopped)[kept].sum()),
        "sessions_with_several_stops": int((np.asarray(ledger.stops)[kept] > 1).sum()),
        "sessions_in_near_duplicate_clusters": int(sizes[sizes > 1].sum()),
        "largest_near_duplicate_cluster": int(sizes.max()) if len(sizes) else 0,
    }
