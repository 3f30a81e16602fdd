"""Conversations with a policy server in the terminal (`lta chat`)."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from learntoask.client import CallFailed, Client, Decision, MissingField

_HELP = "/new begins a new conversation, /quit or Ctrl-D ends"


def converse(client: Client, console: Console, *, task: str = "", goal: str = "") -> None:
    """Hold conversations until the input ends. Raises CallFailed if the server cannot be reached."""
    info = client.server_info()
    task = task or info.default_task or (info.tasks[0] if len(info.tasks) == 1 else "")
    console.print(
        f"policy [bold]{info.policy_revision[:12]}[/], pack {escape(info.pack)}, task {escape(task or '–')}"
    )
    console.print(f"[dim]{_HELP}[/]")
    while _conversation(client, console, task=task, goal=goal):
        console.rule("new conversation")


def _conversation(client: Client, console: Console, *, task: str, goal: str) -> bool:
    """Hold one conversation; return whether the user wants another one."""
    with client.converse(task=task, goal=goal) as conversation:
        while True:
            try:
                text = console.input("[bold cyan]you[/]    ").strip()
            except (EOFError, KeyboardInterrupt):
                console.print()
                return False
            if text in ("/quit", "/exit"):
                return False
            if text == "/new":
                return True
            if not text:
                continue
            try:
                decision = conversation.say(text)
            except CallFailed as error:
                console.print(f"[red]{escape(str(error))}[/]")
                continue
            console.print(_line(decision))
            if decision.stop:
                return True


def _named(missing: MissingField) -> str:
    return missing.name if missing.probability is None else f"{missing.name} ({missing.probability:.2f})"


def _line(decision: Decision) -> str:
    note = "" if decision.origin == "model" else f", {decision.origin}"
    answer = "[green]stops asking[/]" if decision.question is None else escape(decision.question)
    if decision.missing:
        note += f"; missing: {escape(', '.join(map(_named, decision.missing)))}"
    return (
        f"[bold magenta]policy[/] {answer} [dim](stop probability {decision.stop_probability:.3f}{note})[/]"
    )
