"""Write run.yaml: the manifest of a first run with the suggested pack."""

from __future__ import annotations

import os
import re
from pathlib import Path

from learntoask.core.manifest import parse_manifest

_LONGEST_NAME = 40


def run_yaml(logs: Path, folder: Path, *, name: str) -> str:
    """Return the text of run.yaml in `folder`. Raises InputError if it is not a valid manifest."""
    address = Path(os.path.relpath(logs.resolve(), folder.resolve())).as_posix()
    quoted = "'" + address.replace("'", "''") + "'"
    text = f"""\
# A first run on these logs: lta run {(folder / "run.yaml").as_posix()}
# docs/reference.md has every setting.
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata:
  name: {name}
spec:
  dataset:
    uri: {quoted}
  pack:
    uri: pack.yaml
  label:
    method: lexicon          # by the patterns of the pack, without a model
  # train:
  #   base: {{uri: "tiny:"}}   # a tiny model made from scratch, to see the whole run in minutes
  gate:                      # what the policy must reach to be served
    thresholds:
      - {{metric: TA, min: 0.5}}
      - {{metric: WS-stop, min: 0.5}}
"""
    parse_manifest(text, where="the suggested manifest")
    return text


def run_name(logs: Path) -> str:
    """Return a name for the run by the file's name: lower-case letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", logs.name.split(".")[0].lower()).strip("-")
    return name[:_LONGEST_NAME].strip("-") or "run"
