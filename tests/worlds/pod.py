"""Pods without a cluster: processes with the operator's variables, each with a new work folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from learntoask.core.manifest import load_manifest
from learntoask.core.pack import load_pack
from learntoask.core.stages.graph import STAGE_BY_NAME, RunInputs, pack_digests
from learntoask.core.stages.planner import plan
from learntoask.core.stages.publication import Publication
from learntoask.runner.inputs import path_digest
from learntoask.store.folder import FolderStore
from learntoask.store.protocol import Publications

PHARMACY = Path(__file__).resolve().parents[2] / "examples" / "pharmacy"
PATIENCE = 240.0


@dataclass
class Pod:
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def ended(self) -> tuple[int, dict[str, Any]]:
        """Wait for the end; return exit code and termination message."""
        code = self.process.wait(PATIENCE)
        words = self.folder / "termination-log"
        return code, json.loads(words.read_bytes()) if words.exists() else {}

    def until(self, happened: Callable[[], bool], *, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert self.process.poll() is None, f"ended before {what}: {self.log[-3000:]}"
            assert time.monotonic() < deadline, f"no {what}: {self.log[-3000:]}"
            time.sleep(0.02)


@dataclass
class PodWorld:
    """One run with the pharmacy's logs and a store in a folder."""

    folder: Path
    changes: dict[str, Any] = field(default_factory=dict)
    started: list[Pod] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.manifest = self.folder / "run.json"
        manifest = yaml.safe_load((PHARMACY / "run-tiny.yaml").read_text())
        manifest["metadata"]["namespace"] = "lab"
        spec = manifest["spec"]
        spec["dataset"] = {"uri": str(PHARMACY / "logs.jsonl"), "maxSessions": 40}
        spec["pack"] = {"uri": str(PHARMACY / "pack.yaml")}
        for section, settings in self.changes.items():
            spec[section] = {**spec.get(section, {}), **settings}
        self.manifest.write_text(json.dumps(manifest))

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.folder / "store")

    def order(self, stage: str, **changes: Any) -> dict[str, Any]:
        """The order that the operator would give next for `stage`."""
        spec = load_manifest(self.manifest).spec
        pack = pack_digests(load_pack(Path(spec.pack.uri)))
        files = {"dataset": path_digest(Path(spec.dataset.uri))}
        published = Publications(self.store)
        found = plan(
            spec=spec,
            inputs=RunInputs(pack=pack, files=files),
            published=published,
            observed={},
            now=time.time(),
        )
        keys = {status.name: status.key for status in found.stages}
        return {
            "stage": stage,
            "key": keys[stage],
            "attempt": 1,
            "inputs": {
                name: {"key": keys[name], "output": published[keys[name]].output}
                for name in STAGE_BY_NAME[stage].inputs
            },
            "pack": pack["whole"],
            "files": {role: files[role] for role in STAGE_BY_NAME[stage].files if role in files},
            **changes,
        }

    def start(self, order: dict[str, Any] | str, *arguments: str, **variables: str) -> Pod:
        """Start a pod with an empty disk; `arguments` are those of `lta stage`."""
        folder = self.folder / f"pod-{len(self.started)}"
        folder.mkdir()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LTA_")},
            "LTA_RUN_FILE": str(self.manifest),
            "LTA_STAGE": order if isinstance(order, str) else json.dumps(order),
            "LTA_HOME": str(folder / "work"),
            "LTA_STORE": str(self.folder / "store"),
            "LTA_TERMINATION_LOG": str(folder / "termination-log"),
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "learntoask.cli.app", "stage", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        pod = Pod(process, folder)
        self.started.append(pod)
        return pod

    def run(self, stage: str, **variables: str) -> dict[str, Any]:
        """Run a pod that computes `stage` and must succeed; return its termination message."""
        pod = self.start(self.order(stage), **variables)
        code, words = pod.ended()
        assert code == 0, f"{words}\n{pod.log[-3000:]}"
        return words

    def published(self, stage: str) -> Publication:
        found = self.store.find(self.order(stage)["key"])
        assert found is not None
        return found

    def close(self) -> None:
        for pod in self.started:
            if pod.process.poll() is None:
                pod.process.kill()
                pod.process.wait(30)
