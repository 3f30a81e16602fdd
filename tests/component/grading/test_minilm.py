"""The packaged sentence encoder."""

from __future__ import annotations

import random

import numpy as np
import pytest
from learntoask.core.errors import StageError
from learntoask.grading.encoders import minilm
from learntoask.grading.encoders.caching import CachingEncoder, load_encoder

TEXTS = [
    "Where are you leaving from?",
    "From which city do you depart?",
    "How many seats do you need?",
    "Sure, I can help you with that. Do you know the date on which you would like to travel, and the time?",
    "?",
    *(f"Which {word}?" for word in ("city", "date", "hour", "price", "train", "name")),
    "Which " + "very " * 200 + "long question is this?",
]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("minilm")


def test_like_meanings_are_near(encoder):
    from_where, from_city, seats = encoder.encode(TEXTS[:3])
    assert encoder.dimension == 384
    assert from_where @ from_city > 0.6
    assert from_where @ seats < 0.3
    assert np.linalg.norm(encoder.encode(TEXTS), axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


def test_a_vector_depends_on_its_text_alone_to_the_last_bit(encoder):
    whole = dict(zip(TEXTS, encoder.encode(TEXTS), strict=True))
    for text in TEXTS:
        assert np.array_equal(encoder.encode([text])[0], whole[text])
    mixed = random.Random(0).choices(TEXTS, k=30)
    for text, vector in zip(mixed, encoder.encode(mixed), strict=True):
        assert np.array_equal(vector, whole[text])


def test_known_texts_are_not_encoded_again(encoder):
    cached = CachingEncoder(encoder)
    cached.add(["How many seats do you need?"], np.full((1, encoder.dimension), 0.5, dtype=np.float32))
    assert cached.encode(TEXTS[2:4])[0].tolist() == [0.5] * encoder.dimension
    assert np.array_equal(cached.encode(TEXTS[2:4])[1], encoder.encode(TEXTS[3:4])[0])


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-encoder")
    with pytest.raises(StageError, match=r"no-such-encoder is not installed.*hashing"):
        load_encoder("minilm")
