"""The search for near-duplicates finds what comparing all pairs finds, however few pairs it looks at."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Indel
from rapidfuzz.fuzz import ratio

from stages.split import near_duplicates as search
from tests.split_rows import CONFIG, LONG
from twin.config.split import SplitConfig


def brute(train: list[str], judging: list[str], config: SplitConfig) -> tuple[set[str], set[str]]:
    """Compare all pairs, one after the other."""
    equal = {one for one in train if one in judging}
    least, limit = config.near_duplicate_characters, config.near_duplicate_ratio
    return equal, {
        one
        for one in train
        if one not in equal and any(min(len(one), len(two)) >= least and ratio(one, two) >= limit for two in judging)
    }


letters = st.text("abcé👍 а", max_size=70)
copied = st.builds(lambda text, cut, more: text[:cut] + more + text[cut:], letters, st.integers(0, 70), letters)


@settings(max_examples=150, deadline=None)
@given(st.lists(letters | copied, max_size=14), st.lists(letters | copied, max_size=14), st.data())
def test_the_search_finds_what_all_pairs_find(ours: list[str], theirs: list[str], data: st.DataObject) -> None:
    theirs += [one[: data.draw(st.integers(0, 70))] for one in ours]
    ratio_min = data.draw(st.sampled_from([1e-6, 50, 66.7, 80, 90, 99.9, 100]))
    config = dataclasses.replace(CONFIG, near_duplicate_ratio=ratio_min, near_duplicate_characters=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK", data.draw(st.integers(1, 6)))
        patch.setattr(search, "LEVELS", data.draw(st.sampled_from([1, 2, 64])))
        assert search.copies(ours, theirs, config) == brute(ours, theirs, config)


def edited(text: str, edits: int, chance: random.Random) -> str:
    """Return the text with so many characters taken out or put in."""
    for _ in range(edits):
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice(["", chance.choice("etaoin") + text[place]]) + text[place + 1 :]
    return text


def test_copies_edited_up_to_the_limit_are_found_among_many_unlike_texts() -> None:
    chance = random.Random(7)
    words = [edited("abcdefgh", 6, chance) for _ in range(300)]
    judging = [" ".join(chance.choices(words, k=chance.randint(5, 60))) for _ in range(700)]
    train = [edited(text, round(len(text) * chance.uniform(0.1, 0.3)), chance) for text in judging]
    train += [" ".join(chance.choices(words, k=chance.randint(5, 60))) for _ in range(700)]
    found = search.copies(train, judging, CONFIG)
    assert found == brute(train, judging, CONFIG)
    assert 200 < len(found[1]) < 700


@given(st.text("abcdéа👍", max_size=60), st.text("abcdéа👍", max_size=60))
def test_bits_that_differ_are_never_more_than_the_insertions_and_deletions(one: str, two: str) -> None:
    counts = search._counts([one, two])
    bits = search._bits(counts, search._levels(counts))
    assert search._differences(bits[:1], bits[1:])[0, 0] <= Indel.distance(one, two)


def test_few_of_the_pairs_that_are_unlike_are_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    words = ["".join(chance.choices("eeeettaaooiinnsshhrrdlcumwfgypbvk", k=chance.randint(2, 8))) for _ in range(300)]
    texts = [" ".join(chance.choices(words, k=12)) for _ in range(600)]
    compared, full = [0], search.cpdist

    def counted(ours: list[str], theirs: list[str], **options: object) -> object:
        compared[0] += len(ours)
        return full(ours, theirs, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(search, "cpdist", counted)
    search.copies(texts[:300], texts[300:], CONFIG)
    assert 0 < compared[0] < 300 * 300 / 20


@pytest.mark.parametrize("other", [LONG + " now", LONG[:-4], LONG.replace("e", "", 3)])
def test_a_text_shorter_than_the_least_length_is_a_copy_only_when_equal(other: str) -> None:
    longest = max(len(LONG), len(other))
    assert search.copies([LONG], [other], CONFIG) == (set(), {LONG})
    longer = dataclasses.replace(CONFIG, near_duplicate_characters=longest + 1)
    assert search.copies([LONG], [other], longer) == (set(), set())
    assert search.copies([LONG, "?"], [LONG, "?"], longer) == ({LONG, "?"}, set())
