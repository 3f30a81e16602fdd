"""`python -m learntoask.cli.stage REQUEST FD`: one attempt of a stage; `lta run` and pods start this process."""

from __future__ import annotations

import sys
from pathlib import Path

from learntoask.runner.process import main

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
