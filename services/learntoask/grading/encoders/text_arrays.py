"""Texts as two arrays of an npz file, whose size follows the sum of the lengths.

An array of texts (`np.array(texts)`) gives every text the room of the longest one, so that one message of 60 kB among
ten thousand questions would cost gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray


def text_arrays(texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays `texts` (UTF-8, all texts one after the other) and `ends` (where each ends in it)."""
    encoded = [text.encode() for text in texts]
    ends = np.fromiter(accumulate(map(len, encoded)), dtype=np.int64, count=len(encoded))
    return {"texts": np.frombuffer(b"".join(encoded), dtype=np.uint8), "ends": ends}


def texts_of(stored: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the texts of the arrays. A file without `ends` is an older one, whose texts are an array of texts."""
    if "ends" not in stored:
        older: list[str] = stored["texts"].tolist()
        return older
    data, start, texts = stored["texts"].tobytes(), 0, []
    for end in stored["ends"].tolist():
        texts.append(data[start:end].decode())
        start = end
    return texts
