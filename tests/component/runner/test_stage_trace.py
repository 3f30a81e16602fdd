"""Traces of stages: one of each stage, of a laptop's run and of pods, with what failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from learntoask.runner.stage_trace import told
from worlds.pod import PHARMACY, PodWorld
from worlds.traces import TraceReceiver, trace_receiver


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    with trace_receiver() as receiver:
        yield receiver


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PodWorld]:
    world = PodWorld(tmp_path)
    yield world
    world.close()


def test_all_pods_and_attempts_of_a_stage_meet_in_one_trace(receiver: TraceReceiver, world: PodWorld) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    words = world.run("prepare", **variables)
    attempt, computing = sorted(receiver.wait(2), key=lambda span: span.parent)
    assert (attempt.name, computing.name) == ("stage prepare", "compute prepare")
    assert (attempt.parent, computing.parent) == ("", attempt.span)
    assert {span.service for span in receiver.spans} == {"learntoask-stage"}
    order = world.order("prepare")
    told_of = {name.removeprefix("learntoask."): value for name, value in attempt.attributes.items()}
    assert told_of == {
        "run": "pharmacy-tiny",
        "namespace": "lab",
        "stage": "prepare",
        "stage.key": order["key"],
        "attempt": 1,
        "index": 0,
        "pack": order["pack"],
        "file.dataset": order["files"]["dataset"],
        "output": words["output"],
        "skipped": False,
    }
    log = world.started[-1].log
    assert f"[trace {attempt.trace}] stage prepare of run pharmacy-tiny" in log

    pod = world.start(world.order("prepare", attempt=2), **variables)  # it finds the stage published
    assert pod.ended()[0] == 0
    again = receiver.wait(3)[-1]
    assert (again.trace, again.attributes["learntoask.attempt"]) == (attempt.trace, 2)
    assert again.attributes["learntoask.skipped"] is True

    label = world.order("label")
    pods = [
        world.start(label, LTA_SHARDS="2", JOB_COMPLETION_INDEX=str(index), **variables) for index in (0, 1)
    ]
    assert [one.ended()[0] for one in pods] == [0, 0]
    shares = receiver.wait(2, name="stage label")
    assert {span.attributes["learntoask.index"] for span in shares} == {0, 1}
    assert {span.trace for span in receiver.spans if "label" in span.name} == {shares[0].trace}
    assert shares[0].trace != attempt.trace
    assert shares[0].attributes["learntoask.input.prepare"] == words["output"]


def test_a_stage_that_fails_says_why_and_one_that_was_killed_too(
    receiver: TraceReceiver, world: PodWorld
) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    world.run("prepare")
    refused = world.start(world.order("prepare", key="a" * 64, pack="0" * 64), **variables)
    assert refused.ended()[0] == 2
    (span,) = receiver.wait(1, name="stage prepare")
    assert (span.failed, span.attributes["error.type"]) == (True, "InputChanged")
    assert span.description.startswith("spec.pack.uri: ")
    assert span.attributes["learntoask.retryable"] is False

    broken = world.folder / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'learntoask.cli.stage' in ' '.join(sys.orig_argv):\n"
        "    print('words of a user', file=sys.stderr, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = world.start(
        world.order("label"), PYTHONPATH=f"{broken}:{os.environ.get('PYTHONPATH', '')}", **variables
    )
    assert killed.ended()[0] == 137
    (span,) = receiver.wait(1, name="stage label")
    assert (span.failed, span.attributes["error.type"]) == (True, "Crashed")
    assert "SIGKILL" in span.description
    assert "words of a user" not in str(receiver.spans)


def test_a_run_on_a_laptop_makes_one_trace_a_stage(receiver: TraceReceiver, tmp_path: Path) -> None:
    manifest = yaml.safe_load((PHARMACY / "run-tiny.yaml").read_text())
    manifest["spec"]["dataset"] = {"uri": str(PHARMACY / "logs.jsonl"), "maxSessions": 40}
    manifest["spec"]["pack"] = {"uri": str(PHARMACY / "pack.yaml")}
    manifest["spec"]["label"] = {"method": "annotated"}  # these logs carry no annotations
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(manifest))
    ended = subprocess.run(
        [sys.executable, "-m", "learntoask.cli.app", "run", "run.yaml", "--json"],
        cwd=tmp_path,
        env={
            **os.environ,
            "LTA_HOME": str(tmp_path / "home"),
            "OMP_NUM_THREADS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_SERVICE_NAME": "nightly",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert json.loads(ended.stdout)["outcome"] == "Failed", ended.stderr
    prepared = receiver.wait(2, trace=receiver.wait(1, name="stage prepare")[0].trace)
    assert {span.name for span in prepared} == {"stage prepare", "compute prepare"}
    (failed,) = receiver.wait(1, name="stage label")
    (computing,) = receiver.wait(1, name="compute label")
    assert (computing.trace, computing.parent) == (failed.trace, failed.span)
    assert failed.failed
    assert computing.failed
    assert failed.attributes["error.type"] == computing.attributes["error.type"]
    assert {span.service for span in receiver.spans} == {"nightly"}


def test_a_pod_that_is_told_to_end_says_so(receiver: TraceReceiver, world: PodWorld) -> None:
    world.run("prepare")
    pod = world.start(
        world.order("label"),
        LTA_SHARDS="2",  # it waits for the other one
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
    )
    pod.until(lambda: "compute label" in pod.log or "stage label of run" in pod.log, what="a start")
    pod.process.send_signal(signal.SIGTERM)
    assert pod.ended()[0] == 143
    (span,) = receiver.wait(1, name="stage label")
    assert (span.failed, span.attributes["error.type"]) == (True, "Disrupted")


def test_a_trace_keeps_of_a_fault_of_ours_the_kind_alone() -> None:
    assert told("InternalError", "KeyError: 'what a user said'") == "KeyError"
    assert told("Crashed", "the process was killed by SIGKILL.\nthe end of its output") == (
        "the process was killed by SIGKILL."
    )
    assert told("NoSamples", "no session has a sample: lower minWords") == (
        "no session has a sample: lower minWords"
    )
