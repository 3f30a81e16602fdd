"""Stage `prepare`: validate every line of the logs, find the decision points, and split by session.

The first pass reads the logs and spools well-formed sessions to disk. The second pass writes each session with its
split, which depends on all sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from pydantic_core import from_json

from learntoask.core.errors import StageError
from learntoask.core.manifest import Dataset
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.labeling.logs.duplicates import SignatureFile, clusters, signature
from learntoask.labeling.logs.lines import JsonLinesWriter, file_bytes
from learntoask.labeling.logs.quarantine import Quarantine, Reason
from learntoask.labeling.logs.reader import LogReader, ReadLine
from learntoask.labeling.logs.session_index import ENDS, SessionIndex
from learntoask.labeling.logs.shared_text import without_shared_text
from learntoask.labeling.logs.split import SPLITS, TEST, TRAIN, split_sessions

_DUPLICATE, _NEAR_TEST = 3, 4  # outcomes of a session that gets no split (outcomes 0 to 2 are the splits)
_UNSPLIT = b'"split":"train"'
_SOURCES = ("dataset", "test")
_STEP = 500  # lines between progress reports


@dataclass
class ReadCounts:
    """The counts of the first pass."""

    lines: int = 0
    blank: int = 0
    done_bytes: int = 0
    html_messages: int = 0
    cleaned_messages: int = 0


def run(context: StageContext) -> StageSummary:
    """Publish sessions.jsonl and quarantine.jsonl. Raises StageError when no session is left to train on."""
    dataset = context.spec.dataset
    index, counts = SessionIndex(), ReadCounts()
    spool = context.work / "spool.jsonl"
    with (
        JsonLinesWriter(context.out / "quarantine.jsonl") as bad_lines,
        SignatureFile(context.work / "signatures.bin") as signatures,
    ):
        quarantine = Quarantine(bad_lines)
        _read(context, index, counts, quarantine, spool=spool, signatures=signatures)
        if not len(index):
            raise StageError(_nothing_left(quarantine), reason="NoSessions")
        if "test" in context.files and not any(index.from_test):
            problem = f"no line of {context.files['test'].name} is a session, so nothing could be tested"
            raise StageError(
                f"{problem}; `lta data check` lists what is wrong with each line", reason="NoTestSessions"
            )
        groups = without_shared_text(
            clusters(signatures, threshold=dataset.near_duplicate),
            partial(_messages, spool),
            threshold=dataset.near_duplicate,
            signatures=context.work / "rest.bin",
        ).groups
        outcomes = _outcomes(index, groups, dataset)
        _write(context, index, outcomes, quarantine, spool=spool)
    spool.unlink()
    if not (outcomes == TRAIN).any():
        raise StageError("no session is left to train on: " + _nothing_left(quarantine), reason="NoSessions")
    return _summary(index, counts, quarantine, groups=groups, outcomes=outcomes)


def _read(
    context: StageContext,
    index: SessionIndex,
    counts: ReadCounts,
    quarantine: Quarantine,
    *,
    spool: Path,
    signatures: SignatureFile,
) -> None:
    total = sum(file_bytes(path) for path in context.files.values())
    with JsonLinesWriter(spool) as sessions:
        for source, entry in _lines(context, index, counts):
            session, rejection = entry.session, entry.rejection
            if session is not None:
                sessions.write(session.__pydantic_serializer__.to_json(session))
                signatures.append(signature(message.content for message in session.messages))
                index.add(session, line=entry.line.number, from_test=source == "test", acts=entry.acts)
                counts.html_messages += entry.html_messages
                counts.cleaned_messages += entry.cleaned_messages
            elif rejection is not None:
                quarantine.line(
                    source=source,
                    number=entry.line.number,
                    reason=rejection.reason,
                    where=rejection.where,
                    message=str(rejection),
                    text=entry.line.text,
                )
            else:
                counts.blank += 1
            if counts.lines % _STEP == 0:
                context.progress.update(counts.done_bytes, total, "reading logs", sessions=len(index))
    context.progress.update(total, total, "reading logs", sessions=len(index))


def _lines(context: StageContext, index: SessionIndex, counts: ReadCounts) -> Iterator[tuple[str, ReadLine]]:
    """Yield every line with its source. The test file comes first, so that of two equal sessions the test one stays."""
    reader = LogReader(context.pack, context.spec.dataset)
    for source in reversed(_SOURCES):
        if source not in context.files:
            continue
        before, read_bytes = len(index), counts.done_bytes
        for entry in reader.read(context.files[source]):
            counts.lines += 1
            counts.done_bytes = read_bytes + entry.line.end
            yield source, entry
            if source == "dataset" and len(index) - before == context.spec.dataset.max_sessions:
                break


def _messages(spool: Path, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, list[str]]]:
    """Yield the messages of the spooled sessions that the mask `wanted` [n] selects, each with its index."""
    with spool.open("rb") as lines:
        for index, (line, selected) in enumerate(zip(lines, wanted.tolist(), strict=True)):
            if selected:
                yield index, [message["content"] for message in from_json(line)["messages"]]


def _outcomes(index: SessionIndex, groups: NDArray[np.int32], dataset: Dataset) -> NDArray[np.uint8]:
    """Return the outcome of each session, [n]: an index into SPLITS, _DUPLICATE or _NEAR_TEST."""
    outcomes = np.zeros(len(index), dtype=np.uint8)
    from_test = np.asarray(index.from_test, dtype=bool)
    duplicate = index.first_occurrences() != np.arange(len(index))
    outcomes[from_test] = TEST
    near = ~from_test & np.isin(groups, groups[from_test])
    outcomes[near] = _NEAR_TEST
    outcomes[duplicate] = _DUPLICATE
    free = np.flatnonzero(~from_test & ~near & ~duplicate)
    if len(free):
        outcomes[free] = split_sessions(
            groups[free],
            np.asarray(index.id_high, dtype=np.uint64)[free],
            validation_share=dataset.validation_share,
            test_share=0.0 if from_test.any() else dataset.test_share,
            seed=dataset.seed,
        )
    return outcomes


def _write(
    context: StageContext,
    index: SessionIndex,
    outcomes: NDArray[np.uint8],
    quarantine: Quarantine,
    *,
    spool: Path,
) -> None:
    first = index.first_occurrences()
    split_keys = [f'"split":"{name}"'.encode() for name in SPLITS]
    with JsonLinesWriter(context.out / "sessions.jsonl") as sessions, spool.open("rb") as spooled:
        for position, (line, outcome) in enumerate(zip(spooled, outcomes.tolist(), strict=True)):
            if outcome < _DUPLICATE:
                # Quotes inside JSON strings are escaped, so the first match is the key.
                sessions.write(line.rstrip(b"\n").replace(_UNSPLIT, split_keys[outcome], 1))
            else:
                _quarantine_session(
                    line, position, index, quarantine, same_id=int(first[position]), outcome=outcome
                )
            if position % _STEP == 0:
                context.progress.update(position, len(index), "writing sessions")
    context.progress.update(len(index), len(index), "writing sessions")


def _quarantine_session(
    line: bytes, position: int, index: SessionIndex, quarantine: Quarantine, *, same_id: int, outcome: int
) -> None:
    session_id = from_json(line)["session_id"]
    if outcome == _DUPLICATE:
        where = f"line {index.lines[same_id]} of the {_SOURCES[index.from_test[same_id]]} file"
        reason, key = Reason.DUPLICATE_SESSION_ID, "session_id"
        message = (
            f"session_id: {session_id!r:.200} occurs already in {where}; give every session a different id"
        )
    else:
        reason, key = Reason.NEAR_DUPLICATE_OF_TEST, "messages"
        message = "messages: the test file holds nearly the same session; training on it would be a leak"
    quarantine.line(
        source=_SOURCES[index.from_test[position]],
        number=index.lines[position],
        reason=reason,
        where=key,
        message=message,
        session_id=session_id,
    )


def _nothing_left(quarantine: Quarantine) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in quarantine.counts.most_common(5))
    found = counts or "the file is empty"
    return f"the logs hold no usable session ({found}); `lta data check` lists what is wrong with each line"


def _warnings(counts: ReadCounts) -> Iterator[JsonValue]:
    """Yield what was changed in the logs, for `lta run` to show."""
    if counts.html_messages:
        yield f"{counts.html_messages} messages held HTML; they are read without its tags"
    if counts.cleaned_messages:
        yield f"{counts.cleaned_messages} messages held invisible or unusual characters; they are read without"


def _summary(
    index: SessionIndex,
    counts: ReadCounts,
    quarantine: Quarantine,
    *,
    groups: NDArray[np.int32],
    outcomes: NDArray[np.uint8],
) -> StageSummary:
    kept = outcomes < _DUPLICATE
    ends = np.bincount(np.asarray(index.ends)[kept], minlength=len(ENDS))
    _, sizes = np.unique(groups[kept], return_counts=True)
    return {
        "lines": counts.lines,
        "blank_lines": counts.blank,
        "sessions": int(kept.sum()),
        "messages_with_html": counts.html_messages,
        "messages_with_unusual_characters": counts.cleaned_messages,
        "warnings": list(_warnings(counts)),
        "quarantined": sum(quarantine.counts.values()),
        "quarantined_by_reason": dict(quarantine.counts.most_common()),
        "split": {name: int((outcomes == split).sum()) for split, name in enumerate(SPLITS)},
        "ends": {end.value: int(count) for end, count in zip(ENDS, ends, strict=True)},
        "decision_points": int(np.asarray(index.turns)[kept].sum()),
        "stops": int(np.asarray(index.stopped)[kept].sum()),
        "sessions_with_several_stops": int((np.asarray(index.stops)[kept] > 1).sum()),
        "sessions_in_near_duplicate_clusters": int(sizes[sizes > 1].sum()),
        "largest_near_duplicate_cluster": int(sizes.max()) if len(sizes) else 0,
    }
