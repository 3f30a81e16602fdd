"""The label stage on a folder of prepared sessions, in this process or in a child process that can be killed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack, load_pack
from learntoask.core.records import LabelledSession, Sample
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.labeling import stage
from learntoask.labeling.logs import stage as prepare

PHARMACY = Path(__file__).parents[3] / "examples" / "pharmacy"


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


@dataclass
class LabelRun:
    """Runs of the label stage. Each run writes to its own output folder, and all use the same work folder."""

    folder: Path
    logs: Path = PHARMACY / "logs.jsonl"
    pack: Pack = field(default_factory=lambda: load_pack(PHARMACY / "pack.yaml"))
    sessions: int = 30

    def prepare(self, test: Path | None = None) -> LabelRun:
        files = {"dataset": self.logs} | ({} if test is None else {"test": test})
        prepare.run(self._context("prepare", "prepare", files, {}))
        return self

    def label(self, name: str = "label", **label: Any) -> StageSummary:
        return stage.run(self._context("label", name, {}, label))

    def llm(self, uri: str, name: str = "label", **llm: Any) -> StageSummary:
        """Label with the model at `uri`. `llm` are settings of `label.llm`; those in `endpoint` override the
        defaults."""
        endpoint = {"uri": uri, "model": "m", "timeout": "5m", **llm.pop("endpoint", {})}
        more = {key: llm.pop(key) for key in ("maxFailedShare", "requireStops") if key in llm}
        return self.label(name, method="llm", llm={"endpoint": endpoint, **llm}, **more)

    def labelled(self, name: str = "label") -> list[LabelledSession]:
        lines = (self.folder / name / "labelled.jsonl").read_bytes().splitlines()
        return [LabelledSession.model_validate_json(line) for line in lines]

    def quarantine(self, name: str = "label") -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in (self.folder / name / "quarantine.jsonl").read_bytes().splitlines()
        ]

    def _context(
        self, stage_name: str, name: str, files: dict[str, Path], label: dict[str, Any]
    ) -> StageContext:
        spec = {"dataset": {"uri": "l", "maxSessions": self.sessions}, "pack": {"uri": "p"}, "label": label}
        out, work = self.folder / name, self.folder / f"{stage_name}-work"
        out.mkdir(exist_ok=True)
        work.mkdir(exist_ok=True)
        return StageContext(
            stage=stage_name,
            key="k",
            spec=RunSpec.model_validate(spec),
            pack=self.pack,
            inputs={"prepare": self.folder / "prepare"},
            files=files,
            out=out,
            work=work,
            progress=Silent(),
        )


def labels_by_turn(labelled: list[LabelledSession]) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Return the labels without their provenance: (session, turn) → decision, fields asked, micro-goal."""

    def of(sample: Sample) -> tuple[Any, ...]:
        goal = {item.field: item.value.casefold() for item in sample.remaining}
        return sample.decision, set(sample.requested), goal

    return {
        (entry.session.session_id, sample.turn): of(sample) for entry in labelled for sample in entry.samples
    }


def label_in_child(folder: Path, uri: str, name: str, sessions: int) -> None:
    """The target of a process that will be killed."""
    LabelRun(folder, sessions=sessions).llm(uri, name, endpoint={"concurrency": 8})
