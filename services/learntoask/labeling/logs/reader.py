"""Read a log file: each line becomes a session or a rejection, or neither if it is blank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.manifest import Dataset
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.core.text.patterns import SlowPattern
from learntoask.labeling.logs.lines import LogLine, read_lines
from learntoask.labeling.logs.parsing import LogFormat, parse_session
from learntoask.labeling.logs.quarantine import Rejected
from learntoask.labeling.logs.sessions import SessionRules, build_session


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line with its session or its rejection; a blank line has neither."""

    line: LogLine
    session: Session | None = None
    acts: int = 0  # end markers of the expert in the log; the first of them is the session's stop
    rejection: Rejected | None = None
    html_messages: int = 0  # of the session, as in LogSession
    cleaned_messages: int = 0


class LogReader:
    """Reads log files by the rules of one pack and the limits of one dataset."""

    def __init__(self, pack: Pack, dataset: Dataset) -> None:
        self._form = LogFormat.of(pack, dataset)
        self._rules = SessionRules.of(pack)
        self._max_line_bytes = dataset.max_line_bytes

    def read(self, path: Path) -> Iterator[ReadLine]:
        """Yield every line of a file. A line that breaks a rule yields its rejection, and reading continues.

        Raises InputError when the file cannot be read, or when the search for a pattern of the pack does not end.
        """
        for line in read_lines(path, max_bytes=self._max_line_bytes):
            try:
                yield self._read_line(line)
            except SlowPattern as slow:
                raise slow.at(f"line {line.number} of {path}") from None

    def _read_line(self, line: LogLine) -> ReadLine:
        if not line.text or line.text.isspace():
            return ReadLine(line)
        try:
            log = parse_session(line, self._form)
            session, acts = build_session(log, self._rules)
        except Rejected as rejection:
            return ReadLine(line, rejection=rejection)
        return ReadLine(
            line, session, acts, html_messages=log.html_messages, cleaned_messages=log.cleaned_messages
        )
