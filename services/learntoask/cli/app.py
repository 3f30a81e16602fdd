"""`lta`: from expert logs to a policy that asks and stops.

Exit codes: 0 done · 1 a fault of ours · 2 wrong input · 3 a stage failed · 4 the gate refused the policy ·
5 the store cannot be used · 6 the cluster refused, or cannot be reached · 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import typer
from rich.console import Console

from learntoask.cli import data, gc, pod, run, schema, status, sweep
from learntoask.cli import evaluation as analysis
from learntoask.cli.cluster import rollback as endpoint
from learntoask.cli.cluster import runs as cluster
from learntoask.cli.cluster import smoke_test as trial
from learntoask.cli.serving import gateway, grader
from learntoask.cli.serving import serve as serving
from learntoask.core.errors import LearnToAskError

app = typer.Typer(
    name="lta",
    help="Turn logs of expert conversations into an assistant that knows what to ask and when to stop.",
    epilog=(__doc__ or "").split("\n\n", 1)[1].replace("\n", " "),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (
    run,
    sweep,
    status,
    data,
    analysis,
    serving,
    gateway,
    grader,
    gc,
    schema,
    cluster,
    endpoint,
    trial,
    pod,
):
    commands.register(app)


def main() -> None:
    """Run the command line; a user's mistake is told in a sentence, never as a traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app()
    except LearnToAskError as error:
        errors.print(f"[red]error[/] ({error.reason}):", end=" ")
        errors.print(str(error), markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # unwinds, so that running stages are ended and the lock is released


if __name__ == "__main__":
    main()
