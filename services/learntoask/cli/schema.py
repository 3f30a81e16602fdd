"""`lta schema`: the JSON schemas of manifest and pack, for editors and other tools."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from learntoask.core.manifest import LearnToAskRun
from learntoask.core.pack import Pack


class Document(StrEnum):
    RUN = "run"
    PACK = "pack"


def register(app: typer.Typer) -> None:
    app.command()(schema)


def schema(document: Annotated[Document, typer.Argument(help="Which document.")] = Document.RUN) -> None:
    """Print the JSON schema of the run manifest or of the domain pack."""
    model = LearnToAskRun if document is Document.RUN else Pack
    typer.echo(json.dumps(model.model_json_schema(by_alias=True), indent=2))
