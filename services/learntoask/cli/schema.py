"""`lta schema`: the JSON schemas of manifest and pack, for editors and other tools."""

from __future__ import annotations

import json

import click

from learntoask.core.manifest import LearnToAskRun
from learntoask.core.pack import Pack


@click.command
@click.argument("document", type=click.Choice(["run", "pack"]), default="run", help="The document.")
def schema(document: str) -> None:
    """Print the JSON schema of the run manifest or of the domain pack."""
    model = LearnToAskRun if document == "run" else Pack
    click.echo(json.dumps(model.model_json_schema(by_alias=True), indent=2))
