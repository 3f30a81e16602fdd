"""Write pack.yaml, run.yaml and suggest.html into one folder, and never over files of a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.induction.output.pack_yaml import pack_yaml
from learntoask.induction.output.page import suggestion_page
from learntoask.induction.output.run_yaml import run_name, run_yaml
from learntoask.induction.suggestion import Suggestion

PACK, RUN, PAGE = "pack.yaml", "run.yaml", "suggest.html"


def check_free(folder: Path, *, force: bool) -> None:
    """Raise InputError if one of the files exists in `folder`, unless `force` is set."""
    found = [name for name in (PACK, RUN, PAGE) if (folder / name).exists()]
    if found and not force:
        raise InputError(
            f"{folder} already holds {', '.join(found)}; --force writes over them, --out writes elsewhere, and "
            f"`lta pack suggest LOGS --pack {folder / PACK}` shows what an existing pack misses",
            reason="PackExists",
        )


def write_files(found: Suggestion, logs: Path, folder: Path) -> None:
    """Write the three files. Nothing is written if one of them cannot be made."""
    name = run_name(logs)
    texts: Mapping[str, str] = {
        PACK: pack_yaml(found, name=name),
        RUN: run_yaml(logs, folder, name=name),
        PAGE: suggestion_page(found, name=name),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            part = folder / f"{file}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(folder / file)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
