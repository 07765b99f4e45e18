"""The hashing embedder is what its docstring says, to the bit, on every machine."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.embedder import hashing, restore
from twin.embedder.hashing import HashingEmbedder
from twin.errors import ModelError

MASK = 2**64 - 1


def oracle(text: str, dimensions: int) -> list[float]:
    """Hash every 3–5-gram in plain Python, one at a time."""
    counts = [0] * dimensions
    plain = " ".join(text.lower().split())
    bounded = f"\x02{plain}\x03" if plain else ""
    for size in (3, 4, 5):
        for start in range(len(bounded) - size + 1):
            key = size
            for character in bounded[start : start + size]:
                key = (key * 0x9E3779B97F4A7C15 + ord(character)) & MASK
            key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & MASK
            key ^= key >> 31
            counts[(key >> 1) % dimensions] += -1 if key & 1 else 1
    norm = math.sqrt(sum(count * count for count in counts))
    return [count / norm if norm else 0.0 for count in counts]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=5), st.sampled_from([8, 50, 256]))
def test_vectors_equal_those_of_plain_python_to_the_bit(texts: list[str], dimensions: int) -> None:
    states = HashingEmbedder(dimensions).embed(texts)
    assert states.shape == (len(texts), dimensions)
    assert states.tolist() == [oracle(text, dimensions) for text in texts]


def test_the_vectors_of_version_1_never_change() -> None:
    states = HashingEmbedder(256).embed(["Ship it.", "No. Revert the migration first.", "naïve 🚀 path"])
    digest = hashlib.sha256(np.round(states * 1e6).astype("<i8").tobytes()).hexdigest()
    assert digest == "599b5283425bd538822df3214937000e4ec365178762d842df310cbea9a86401"


def test_a_text_does_not_depend_on_its_neighbours_or_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"turn {n} " * (n % 7) for n in range(40)]
    whole = HashingEmbedder(64).embed(texts)
    assert np.array_equal(whole, np.concatenate([HashingEmbedder(64).embed([text]) for text in texts]))
    monkeypatch.setattr(hashing, "BATCH_CHARACTERS", 50)
    monkeypatch.setattr(hashing, "BATCH_TEXTS", 3)
    batches = list(hashing._batches(texts))
    assert max(map(len, batches)) == 3
    assert all(len(batch) == 1 or sum(map(len, batch)) <= 50 for batch in batches)
    assert np.array_equal(whole, HashingEmbedder(64).embed(texts))


def test_case_and_spacing_do_not_matter_and_words_do() -> None:
    one, two, three = HashingEmbedder(256).embed(["Fix  the\nbug", " fix the bug", "fix the tests"])
    assert np.array_equal(one, two)
    assert 0.1 < one @ three < 0.9


def test_an_empty_text_has_no_direction_and_one_character_has_one() -> None:
    empty, blank, short = HashingEmbedder(32).embed(["", " \n", "k"])
    assert not empty.any()
    assert not blank.any()
    assert np.linalg.norm(short) == 1.0


def test_an_identity_brings_the_same_embedder_back() -> None:
    made = HashingEmbedder(40)
    again = restore(made.identity)
    assert again.identity == made.identity
    assert np.array_equal(again.embed(["go"]), made.embed(["go"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "minilm"}, "'minilm'.*tokens_max, version are needed"),
        ({"name": "words"}, "embedder words of version 1 is not known; this program has hashing of version 1, minilm"),
        ({"version": 2}, "embedder hashing of version 2 is not known"),
        ({"dimensions": 0}, "'dimensions': 0.*are needed"),
        ({"more": 1}, "'more': 1.*are needed"),
    ],
)
def test_an_unknown_identity_is_refused(change: dict[str, str | int], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        restore({"name": "hashing", "dimensions": 8, "version": 1} | change)
