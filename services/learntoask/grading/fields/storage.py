"""Write and read a fitted grader as a folder of JSON and npz files; nothing is pickled.

| file | content |
|---|---|
| `grader.json` | kinds, versions, bounds |
| `models.npz` | parameters of every fold; of hashed weights only the slots in use |
| `examples.jsonl` | the questions among which it looks up neighbours |
| `vectors.npz` | the encoder's vectors of those questions and of the pack's fields, so that loading encodes nothing |
| `cues.json` | cues of requests without a question mark, if any were learned |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.grading.cues import CUES_FILE, NO_CUES, LearnedCues, read_cues, write_cues
from learntoask.grading.encoders.caching import CachingEncoder, load_encoder
from learntoask.grading.encoders.text_arrays import text_arrays, texts_of
from learntoask.grading.examples import Example
from learntoask.grading.fields.classifiers import Arrays, LinearClassifier, classifier_of
from learntoask.grading.fields.fitted import ASKED_FROM, FittedModels, GradeBounds, IdleClassifier
from learntoask.grading.fields.lexical import SLOTS, LexicalModel

_VERSION = 2
_FILES = ("examples.jsonl", "grader.json", "models.npz", "vectors.npz")
_PACK_PARTS = {"language", "roles", "end_markers", "tasks", "fluency"}


@dataclass(frozen=True, kw_only=True)
class StoredGrader:
    """A fitted grader as read from its folder, with an encoder that knows its vectors."""

    fitted: FittedModels
    encoder: CachingEncoder
    cues: LearnedCues
    digest: str


def write_grader(
    folder: Path,
    fitted: FittedModels,
    *,
    pack: Pack,
    encoder: CachingEncoder,
    texts: Sequence[str],
    cues: LearnedCues = NO_CUES,
) -> str:
    """Write a grader into the empty or missing `folder`, with the vectors of `texts`, and return its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    models: dict[str, Any] = {
        f"classifier.{name}": array for name, array in fitted.classifier.arrays().items()
    }
    models |= _sparse("lexical", fitted.lexical)
    if fitted.idle:
        models |= {f"idle.{name}": array for name, array in fitted.idle.classifier.arrays().items()}
        models |= _sparse("wording", fitted.idle.wording)
    about = {
        "version": _VERSION,
        "kind": fitted.classifier.kind,
        "encoder": {"name": encoder.name, "version": encoder.version},
        "pack": _pack_digest(pack),
        "patternPrecision": fitted.pattern_precision,
        "bounds": _bounds(fitted.bounds),
    }
    kept = sorted(set(texts))
    np.savez_compressed(folder / "models.npz", allow_pickle=False, **models)
    np.savez(folder / "vectors.npz", **text_arrays(kept), vectors=encoder.encode(kept))
    (folder / "grader.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    with (folder / "examples.jsonl").open("w", encoding="utf-8") as file:
        for example in fitted.examples:
            file.write(json.dumps({**asdict(example), "asked": sorted(example.asked)}) + "\n")
    write_cues(folder, cues)
    return stored_digest(folder)


def read_grader(folder: Path, pack: Pack) -> StoredGrader:
    """Read the grader in `folder`.

    Raises InputError when there is none or it was fitted for another pack, StageError when the encoder's package is
    missing.
    """
    try:
        about = json.loads((folder / "grader.json").read_text(encoding="utf-8"))
        models = _arrays(folder / "models.npz")
        vectors = _arrays(folder / "vectors.npz")
        lines = (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()
        examples = tuple(_example(json.loads(line)) for line in lines)
        cues = read_cues(folder)
        digest = stored_digest(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} holds no grader that can be read ({error}); run the grader stage again"
        ) from error
    if about["version"] != _VERSION or about["pack"] != _pack_digest(pack):
        raise InputError(
            f"the grader in {folder} was fitted for another pack or version; run the grader stage again"
        )
    encoder = CachingEncoder(load_encoder(about["encoder"]["name"]))
    if encoder.version == about["encoder"]["version"]:
        encoder.add(texts_of(vectors), vectors["vectors"].astype(np.float32))
    fitted = FittedModels(
        examples=examples,
        lexical=_dense("lexical", models),
        classifier=classifier_of(about["kind"], _part("classifier", models)),
        idle=_idle(models),
        pattern_precision=about["patternPrecision"],
        bounds=GradeBounds(**about["bounds"]),
    )
    return StoredGrader(fitted=fitted, encoder=encoder, cues=cues, digest=digest)


def _bounds(bounds: GradeBounds) -> dict[str, float]:
    """Return the bounds, without `asked_from` where it has its default, as older graders were written."""
    found: dict[str, float] = asdict(bounds)
    if bounds.asked_from == ASKED_FROM:
        del found["asked_from"]
    return found


def _idle(models: Arrays) -> IdleClassifier | None:
    own = _part("idle", models)
    if not own:
        return None
    classifier = classifier_of("linear", own)
    assert isinstance(classifier, LinearClassifier)
    return IdleClassifier(wording=_dense("wording", models), classifier=classifier)


def _sparse(name: str, model: LexicalModel) -> Arrays:
    used = np.flatnonzero(model.weights.any(axis=0))
    return {
        f"{name}.slots": used,
        f"{name}.weights": model.weights[:, used],
        f"{name}.intercepts": model.intercepts,
    }


def _dense(name: str, models: Arrays) -> LexicalModel:
    part: dict[str, Any] = _part(name, models)
    weights = np.zeros((len(part["intercepts"]), SLOTS), dtype=np.float32)
    weights[:, part["slots"]] = part["weights"]
    return LexicalModel(weights=weights, intercepts=part["intercepts"])


def _part(name: str, models: Arrays) -> Arrays:
    return {
        key.removeprefix(f"{name}."): array for key, array in models.items() if key.startswith(f"{name}.")
    }


def _arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _example(line: dict[str, Any]) -> Example:
    return Example(**{**line, "asked": frozenset(line["asked"])})


def _pack_digest(pack: Pack) -> str:
    return digest_of(pack.model_dump(mode="json", by_alias=True, include=_PACK_PARTS))


def stored_digest(folder: Path) -> str:
    """Return the digest of the grader in `folder`. Raises OSError when a file is missing."""
    whole = hashlib.sha256()
    learned = (CUES_FILE,) if (folder / CUES_FILE).exists() else ()
    for name in (*_FILES, *learned):
        whole.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return whole.hexdigest()
