"""The commands of `lta`: their lines in `lta --help`, and their modules, which are imported only when they run."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem


class CommandSource(NamedTuple):
    """`module` and `attribute` of a click command, and its line in `lta --help`."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "run": CommandSource("run", "run", "Run every stage of a manifest on this machine."),
    "sweep": CommandSource("sweep", "sweep", "Run variants of a manifest and compare them."),
    "status": CommandSource("status", "status", "Show the stages of a run: state, duration, digests."),
    "data": CommandSource("data", "data", "Check logs before a run; upload files to a store."),
    "evaluate": CommandSource(
        "evaluation", "evaluate", "Evaluate any model on the held-out sessions of a run."
    ),
    "compare": CommandSource(
        "evaluation", "compare", "Compare two runs, with the significance of differences."
    ),
    "report": CommandSource("evaluation", "report", "Write the HTML report of a run to a file."),
    "serve": CommandSource("serving.serve", "serve", "Serve a policy over gRPC."),
    "chat": CommandSource("serving.chat", "chat", "Talk to a policy in the terminal."),
    "gateway": CommandSource(
        "serving.gateway", "gateway", "Serve one address in front of several policy servers."
    ),
    "grader": CommandSource(
        "serving.grader", "grader", "Serve the graders of a run over gRPC, or probe them."
    ),
    "gc": CommandSource("gc", "gc", "Free space in a store."),
    "schema": CommandSource("schema", "schema", "Print the JSON schema of the manifest or of the pack."),
    "apply": CommandSource("cluster.apply", "apply", "Upload a manifest's files and apply it to a cluster."),
    "logs": CommandSource("cluster.runs", "logs", "Show what the pods of a run print."),
    "suspend": CommandSource("cluster.runs", "suspend", "Stop a run in a cluster until it is resumed."),
    "resume": CommandSource("cluster.runs", "resume", "Let a suspended run go on."),
    "rerun": CommandSource(
        "cluster.runs", "rerun", "Compute a stage of a run in a cluster and all after it again."
    ),
    "retry": CommandSource("cluster.runs", "retry", "Let a failed run in a cluster try again."),
    "rollback": CommandSource(
        "cluster.rollback", "rollback", "Serve an earlier policy of an endpoint again."
    ),
    "try": CommandSource(
        "cluster.smoke_test", "try_out", "Test a cluster with a small run and one question."
    ),
    "stage": CommandSource("pod", "stage", "Compute one stage in a pod."),
}
HIDDEN = {"stage"}


class LazyGroup(click.Group):
    """A group that imports a command when it is called.

    Importing all commands takes three seconds of processor time, for pydantic, rich, numpy and the S3 client.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        source = COMMANDS.get(cmd_name)
        if source is None:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"learntoask.cli.{source.module}"), source.attribute
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, source.help) for name, source in COMMANDS.items() if name not in HIDDEN]
            )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=source.help)
            for name, source in COMMANDS.items()
            if name.startswith(incomplete) and name not in HIDDEN
        ]
