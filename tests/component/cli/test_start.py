"""What `lta` imports before it answers, and what it says when an extra is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from learntoask.cli.app import app
from learntoask.cli.commands import COMMANDS

HEAVY = ("torch", "transformers", "numpy", "minio", "grpc", "kubernetes", "pydantic", "rich", "yaml")
RUN = """
import sys
from learntoask.cli.app import main
for name in {blocked!r}:
    sys.modules[name] = None
sys.argv = ["lta", *{arguments!r}]
try:
    main()
finally:
    print("imported:", *sorted(set({heavy!r}) & sys.modules.keys()))
"""


def lta(folder: Path, *arguments: str, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    code = RUN.format(arguments=list(arguments), blocked=list(blocked), heavy=list(HEAVY))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"LTA_HOME": str(folder), "PYTHONPATH": ":".join(sys.path), "KUBECONFIG": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--help",), 0, "Exit codes"),
        (("apply", "nofile.yaml"), 2, "manifest nofile.yaml cannot be read"),
        (("status",), 0, "start one with lta run"),
        (("status", "--json"), 0, "[]"),
        (("serve", "--help"), 0, "--tls-client-ca"),
    ],
)
def test_an_answer_that_needs_no_run_imports_nothing_heavy(
    tmp_path: Path, arguments: tuple[str, ...], code: int, text: str
) -> None:
    ended = lta(tmp_path, *arguments)
    assert ended.returncode == code, ended.stderr
    assert text in ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == "imported:"


@pytest.mark.parametrize("command", ["chat", "serve"])
def test_a_run_without_a_policy_is_told_before_torch_is_imported(tmp_path: Path, command: str) -> None:
    (tmp_path / "logs.jsonl").write_text("{}\n")
    (tmp_path / "pack.yaml").write_text("name: shop\ntasks: [{name: a, fields: [{name: b}]}]\n")
    (tmp_path / "run.yaml").write_text(
        "apiVersion: learntoask.io/v1alpha1\nkind: LearnToAskRun\nmetadata: {name: shop}\n"
        "spec: {dataset: {uri: logs.jsonl}, pack: {uri: pack.yaml}}\n"
    )
    ended = lta(tmp_path, command, "run.yaml")
    assert ended.returncode == 2, ended.stderr
    assert "run 'shop' has no policy to serve" in ended.stderr
    assert not {"torch", "transformers"} & set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (("status", "--cluster"), "kubernetes", "operator"),
        (("suspend", "clinic"), "kubernetes", "operator"),
        (("serve", "--model", ".", "--pack", "pack.yaml"), "torch", "trainer"),
    ],
)
def test_a_command_without_its_extra_says_how_to_install_it(
    tmp_path: Path, arguments: tuple[str, ...], missing: str, extra: str
) -> None:
    (tmp_path / "pack.yaml").touch()
    ended = lta(tmp_path, *arguments, blocked=(missing,))
    assert ended.returncode == 2, ended.stderr
    assert f"needs the package {missing}" in ended.stderr
    assert f"pip install 'learntoask[{extra}]'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_help_exists_under_its_name(name: str) -> None:
    command = app.get_command(click.Context(app), name)
    assert command is not None
    assert command.name == name
    assert command.help
