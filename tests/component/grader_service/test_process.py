"""`lta grader serve` as a process with fitted graders, called as stages call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from learntoask.core.errors import InputError, StageError
from learntoask.core.manifest import GraderSettings
from learntoask.grader_service.grader_source import open_grader
from learntoask.grader_service.process import load_served_graders
from learntoask.grading.grades import GradeCase
from learntoask.grading.loader import load_grader
from learntoask.grading.stage import run
from learntoask.wire import grader_pb2 as wire
from learntoask.wire.grader_pb2_grpc import GraderServiceStub
from worlds.grader import PACK, WORDINGS, grader_context, sessions

TEXTS = [
    *(wording for wordings in WORDINGS.values() for wording in wordings),
    "Where do you start? How many seats?",
    "Nice weather, is it not?",
    "I'm sorry, I cannot book seats.",
    "<stop />",
]
CASES = [
    GradeCase(session_id=f"trip-{number}", task="bus", response=text, target=frozenset({"destination"}))
    for number, text in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    context = grader_context(tmp_path_factory.mktemp("graders"), sessions())
    run(context)
    (context.out / "token").write_text("s3cret\n")
    (context.out / "pack.json").write_text(PACK.model_dump_json(by_alias=True))
    return context.out


@pytest.fixture
def service(published: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running process and its address."""
    command = [sys.executable, "-m", "learntoask.cli.app", "grader", "serve", str(published)]
    options = [
        "--pack",
        str(published / "pack.json"),
        "--port",
        "0",
        "--token-file",
        str(published / "token"),
    ]
    running = subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "LTA_GRADER_SERVE_DRAIN_SECONDS": "60"},
    )
    try:
        line = ""
        while not line.startswith("grading on "):
            line = running.stderr.readline()
            assert line, "the service ended before it listened"
        yield running, line.removeprefix("grading on ").strip()
    finally:
        running.kill()
        running.wait(30)
        running.stderr.close()


@pytest.mark.timeout(900)
def test_stages_get_the_grades_of_the_published_graders_from_a_service_until_it_is_told_to_end(
    published: Path, service: tuple[subprocess.Popen[str], str], tmp_path: Path
):
    running, address = service
    settings = GraderSettings(address=address, encoder="hashing", retry_for="60s")
    environment = {"LTA_GRADER_TOKEN_FILE": str(published / "token")}
    for role in ("rewarding", "reporting"):
        with open_grader(
            role, published, settings=settings, pack=PACK, work=tmp_path, environment=environment
        ) as grader:
            here = load_grader(published / role, PACK)
            assert grader.digest == here.digest
            assert grader.grade(CASES) == here.grade(CASES)
    with (
        open_grader(
            "rewarding", published, settings=settings, pack=PACK, work=tmp_path, environment={}
        ) as stranger,
        pytest.raises(StageError, match="UNAUTHENTICATED"),
    ):
        stranger.grade(CASES)
    with grpc.insecure_channel(address) as channel:
        info = GraderServiceStub(channel).Info(
            wire.GraderInfoRequest(), metadata=(("authorization", "Bearer s3cret"),), timeout=30
        )
    agreement = json.loads((published / "agreement.json").read_text())
    recorded = {one.name: MessageToDict(one.calibration)["kappa"] for one in info.graders}
    assert recorded == {role: agreement[role]["kappa"] for role in ("rewarding", "reporting")}
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=100)
    assert running.returncode == 0
    log = [json.loads(line)["message"] for line in errors.splitlines() if line.startswith("{")]
    assert [message for message in log if message != "call"] == ["serving", "draining", "drained"]


def test_without_an_address_a_stage_grades_in_its_own_process(published: Path, tmp_path: Path):
    with open_grader(
        "rewarding", published, settings=GraderSettings(), pack=PACK, work=tmp_path, environment={}
    ) as grader:
        assert grader.grade(CASES) == load_grader(published / "rewarding", PACK).grade(CASES)


def test_a_folder_without_graders_is_said_at_start(published: Path, tmp_path: Path):
    with pytest.raises(InputError, match="holds no graders"):
        load_served_graders(tmp_path, PACK, judge=None, journals=None)
    (tmp_path / "rewarding").mkdir()
    with pytest.raises(InputError, match=r"agreement\.json cannot be read"):
        load_served_graders(tmp_path, PACK, judge=None, journals=None)
    (tmp_path / "agreement.json").write_text("{}")
    with pytest.raises(InputError, match="holds no grader that can be read"):
        load_served_graders(tmp_path, PACK, judge=None, journals=None)
    with (
        pytest.raises(InputError, match="holds no grader"),
        open_grader("rewarding", tmp_path, settings=GraderSettings(address="h:1"), pack=PACK, work=tmp_path),
    ):
        pass
