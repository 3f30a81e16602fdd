"""Types and flags that commands of several modules share."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
manifest_argument = click.argument("manifest", type=PATH, help="A LearnToAskRun manifest (YAML).")
run_argument = click.argument("run", help="Name of a run or its manifest.")
