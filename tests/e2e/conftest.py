"""Fixtures for the whole system on a real node of this machine. Without one all is skipped, with what is missing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from worlds.cluster.toolchain import ROOT
from worlds.node.node import Node
from worlds.node.phases import Phases
from worlds.node.requirements import lacking
from worlds.node.system import IMAGES, System

_phases = Phases()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--built", action="store_true", help="take the images as they are instead of building them"
    )


@pytest.fixture(scope="session")
def phases() -> Phases:
    return _phases


@pytest.fixture(scope="session")
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, phases: Phases
) -> Iterator[Node]:
    if absent := lacking():
        pytest.skip("no real node here: " + "; ".join(absent))
    if not request.config.getoption("--built"):
        with phases("images built"):
            subprocess.run([ROOT / "images" / "build.sh"], check=True, timeout=3600)
    node = Node(ROOT / ".cache" / "e2e", tmp_path_factory.mktemp("node"))
    try:
        with phases("node ready, with names"):
            node.start()
        with phases("images imported"):
            node.containers.bring(*IMAGES.values())
        yield node
    finally:
        with phases("node stopped"):
            node.stop()


@pytest.fixture(scope="session")
def system(node: Node, phases: Phases, tmp_path_factory: pytest.TempPathFactory) -> System:
    return System(node, phases, tmp_path_factory.mktemp("system"))


@pytest.fixture(autouse=True)
def _only_after_what_it_builds_on(request: pytest.FixtureRequest) -> None:
    """Skip the tests after a failed one, because each builds on those before it."""
    if request.session.testsfailed:
        pytest.skip("an earlier part failed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _phases.taken:
        terminalreporter.section("phases")
        for name, seconds in _phases.taken:
            terminalreporter.write_line(f"{seconds:8.1f} s  {name}")
