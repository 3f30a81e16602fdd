"""Logs without annotations, and what is true about them: SGD, STAR and the pharmacy example."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("LTA_DATA", ROOT.parent / "shared/data"))
PHARMACY = ROOT / "examples/pharmacy"

Line = dict[str, Any]


@dataclass(frozen=True)
class Truth:
    """The truth about one session. `asks` and `goals` are by the index of a turn's first message, `stop` is one."""

    task: str
    asks: dict[int, frozenset[str]]
    goals: dict[int, frozenset[str]]  # still to be asked for and then given
    stop: int | None


@dataclass(frozen=True)
class Domain:
    """Sessions as logged, without annotations, and the truth about each by its id."""

    name: str
    lines: tuple[Line, ...]
    truths: dict[str, Truth]

    def write(self, path: Path) -> Path:
        """Write the logs."""
        path.write_text(
            "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines), encoding="utf-8"
        )
        return path

    def only(self, name: str, keep: Callable[[Truth], bool]) -> Domain:
        """Return the sessions whose truth is wanted."""
        lines = tuple(line for line in self.lines if keep(self.truths[line["session_id"]]))
        return Domain(name, lines, {line["session_id"]: self.truths[line["session_id"]] for line in lines})

    def without(self, *keys: str) -> Domain:
        """Return the same sessions without these keys."""
        lines = tuple({key: value for key, value in line.items() if key not in keys} for line in self.lines)
        return Domain(self.name, lines, self.truths)

    def tasks(self) -> list[str]:
        """Return the task of each session."""
        return [self.truths[line["session_id"]].task for line in self.lines]


def dialogues(name: str, *files: str) -> Domain:
    """Return sessions of SGD or STAR. Their annotations are read as the truth and removed from the lines."""
    lines, truths = [], {}
    for file in files:
        for log in _lines(DATA / file):
            notes = log.pop("annotations")
            task = f"{notes['service']}/{notes['intent']}" if "service" in notes else notes["task"]
            truths[log["session_id"]] = Truth(
                task=task,
                asks={
                    turn["msg"]: frozenset(item["item"] for item in turn["requested"])
                    for turn in notes["turns"]
                },
                goals={
                    turn["msg"]: frozenset(item["item"] for item in turn["remaining"])
                    for turn in notes["turns"]
                },
                stop=notes["stop_msg"],
            )
            lines.append(log)
    return Domain(name, tuple(lines), truths)


def acted_in_words(name: str, *domain_files: str) -> Domain:
    """Return SGD sessions in which the expert says what it does, in place of the marker."""
    lines, truths = [], dialogues(name, *domain_files).truths
    for file in domain_files:
        for log in _lines(DATA / file):
            said = log.pop("annotations")["action"].get("utterance")
            if said:
                log["messages"][-1]["content"] = said
                lines.append(log)
    return Domain(name, tuple(lines), {line["session_id"]: truths[line["session_id"]] for line in lines})


def pharmacy(folder: Path = PHARMACY) -> Domain:
    """Return the synthetic sessions in `folder`, without the malformed lines."""
    lines, truths = [], {}
    raw_lines = (folder / "logs.jsonl").read_bytes().splitlines()
    for raw, truth in zip(raw_lines, _lines(folder / "gold.jsonl"), strict=True):
        if "turns" not in truth or truth["end"] == "excluded":
            continue
        log = json.loads(raw)
        stop = truth["stop_turn"]
        truths[log["session_id"]] = Truth(
            task="remedy",
            asks={turn["start"]: frozenset(turn["requested"]) for turn in truth["turns"]},
            goals={turn["start"]: frozenset(turn["remaining"]) for turn in truth["turns"]},
            stop=truth["turns"][stop]["start"] if stop is not None else None,
        )
        lines.append(log)
    return Domain("pharmacy", tuple(lines), truths)


def _lines(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
