"""Lists the commands of `lta` with their lines in `lta --help`. A command's module is imported only when it runs."""

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
    "init": CommandSource("init", "init", "Make a pack and a manifest from logs."),
    "run": CommandSource("run", "run", "Run every stage of a manifest on this machine."),
    "sweep": CommandSource("sweep", "sweep", "Run variants of a manifest and compare them."),
    "status": CommandSource("status", "status", "Show the stages of a run: state, duration, digests."),
    "review": CommandSource("review", "review", "Answer a run's questions; import and export answers."),
    "data": CommandSource("data", "data", "Check logs before a run; read labels; upload files."),
    "pack": CommandSource("pack", "pack", "Show what a pack misses, by the logs."),
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
    "rollout": CommandSource(
        "rollout.commands", "rollout", "Show and steer the rollout of a new policy, replay or simulate it."
    ),
    "grader": CommandSource(
        "serving.grader", "grader", "Serve the graders of a run over gRPC, or probe them."
    ),
    "gc": CommandSource("gc", "gc", "Free space in a store."),
    "schema": CommandSource("schema", "schema", "Print the JSON schema of the manifest or of the pack."),
    "apply": CommandSource("cluster.apply", "apply", "Upload a manifest's files and apply it to a cluster."),
    "logs": CommandSource("cluster.runs", "logs", "Show what the pods of a run print."),
    "suspend": CommandSource("cluster.runs", "suspend", "Pause a run in a cluster until `lta resume`."),
    "resume": CommandSource("cluster.runs", "resume", "Continue a suspended run in a cluster."),
    "rerun": CommandSource(
        "cluster.runs", "rerun", "Run a stage of a run in a cluster, and all later stages, again."
    ),
    "retry": CommandSource("cluster.runs", "retry", "Give a failed run in a cluster new attempts."),
    "rollback": CommandSource(
        "cluster.rollback", "rollback", "Return an endpoint in a cluster to an earlier policy."
    ),
    "try": CommandSource(
        "cluster.smoke_test", "try_out", "Test a cluster with a small run and one question."
    ),
    "stage": CommandSource("pod", "stage", "Compute one stage in a pod."),
}
SECTIONS = {
    "Logs": ("init", "pack", "data"),
    "Runs": ("run", "review", "status", "report", "compare", "evaluate", "sweep", "gc", "schema"),
    "Servers": ("serve", "chat", "gateway", "rollout", "grader"),
    "Clusters": ("apply", "logs", "suspend", "resume", "rerun", "retry", "rollback", "try"),
}
HIDDEN = set(COMMANDS) - {name for names in SECTIONS.values() for name in names}


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
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name].help) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=source.help)
            for name, source in COMMANDS.items()
            if name.startswith(incomplete) and name not in HIDDEN
        ]
