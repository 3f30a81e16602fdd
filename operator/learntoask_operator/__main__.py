"""`python -m learntoask_operator`: parse flags and LTA_OPERATOR_… variables, then run the operator."""

from __future__ import annotations

import asyncio
import sys

from learntoask.core.errors import LearnToAskError

from learntoask_operator.logs import log_to_stderr
from learntoask_operator.process import run_operator
from learntoask_operator.settings import parse_settings


def main() -> int:
    try:
        settings = parse_settings(sys.argv[1:])
        log_to_stderr(settings.log_level)
        return asyncio.run(run_operator(settings))
    except LearnToAskError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
