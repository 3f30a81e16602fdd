"""`lta`: from expert logs to a policy that asks and stops.

Exit codes: 0 done · 1 an internal error · 2 wrong input, or a package to install · 3 a stage failed · 4 the gate
refused the policy · 5 the store cannot be used · 6 the cluster refused, or cannot be reached · 130 interrupted
(Ctrl-C) · 143 terminated (SIGTERM). After 130 and 143 the same command continues where it stopped.

Completion in bash: eval "$(_LTA_COMPLETE=bash_source lta)"
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from learntoask.cli.commands import LazyGroup
from learntoask.core.errors import LearnToAskError
from learntoask.runner.extras import missing_extra

app = LazyGroup(
    "lta",
    help="Turn logs of expert conversations into an assistant that knows what to ask and when to stop.\n\n"
    "Begin with `lta init` for your logs, then `lta run` for the manifest that it writes.",
    epilog=(__doc__ or "").split("\n\n", 1)[1],
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)

app = click.version_option(package_name="learntoask", prog_name="lta")(app)


def main() -> None:
    """Run the command line. A user's mistake is reported in one sentence, without a traceback."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(app.main(standalone_mode=False) or 0)
    except click.exceptions.Abort:  # click's translation of KeyboardInterrupt
        click.echo("interrupted", err=True)
        sys.exit(128 + signal.SIGINT)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except LearnToAskError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        _fail(missing)


def _fail(error: LearnToAskError) -> None:
    click.secho("error", fg="red", err=True, nl=False)
    click.echo(f" ({error.reason}): {error}", err=True)
    sys.exit(error.exit_code)


def _terminate(number: int, frame: FrameType | None) -> None:
    # An exception, so that `finally` and `with` end the running stage and release the run's lock.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
