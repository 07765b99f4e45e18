"""The fast road finds every text that the exact one would change, and detect-secrets finds nothing more after it."""

import importlib
import pkgutil
import socket
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import planted
from tests.test_scrub import PIECES
from twin.scrub import Scrubber
from twin.scrub.batch import BatchScrubber, suspects
from twin.scrub.second import HINTS, LEFT_OUT, findings


@given(st.lists(PIECES.map("".join) | PIECES.map(" ".join) | st.text(), max_size=8))
@settings(max_examples=150, deadline=None)
def test_whatever_the_exact_road_changes_is_a_suspect(texts: list[str]) -> None:
    marked = suspects(pa.array(texts, pa.string()), phones=True).to_pylist()
    for text, suspect in zip(texts, marked, strict=True):
        assert suspect or Scrubber(Counter(), "DE", second_opinion=True).scrub(text) == text


@pytest.mark.parametrize("kind", planted.FORMS)
def test_every_kind_is_a_suspect_alone_and_in_a_sentence(kind: str) -> None:
    texts = [planted.text(kind, seed) for seed in range(20)]
    assert all(suspects(pa.array(texts), phones=True).to_pylist())
    for seed in range(20):
        assert planted.value(kind, seed) not in Scrubber(Counter(), "DE").scrub(planted.text(kind, seed))


def test_ordinary_text_is_no_suspect() -> None:
    texts = ["Hello there.", "x = foo(bar)", "at 12:30:45 on 2024-05-06", "v1.2.3", None, ""]
    assert suspects(pa.array(texts)).to_pylist() == [False] * 6


def test_a_batch_becomes_what_the_texts_become_one_by_one() -> None:
    texts = [planted.text(kind) for kind in planted.FORMS] + [None, "nothing", "see <EMAIL_1>"]
    ids = [f"c{place % 3}" for place in range(len(texts))]
    counts: Counter[str] = Counter()
    found = BatchScrubber(counts, "DE", second_opinion=True).scrub(pa.array(texts), pa.array(ids)).to_pylist()
    single: dict[str, Scrubber] = {}
    expected: Counter[str] = Counter()
    for key, text in zip(ids, texts, strict=True):
        single.setdefault(key, Scrubber(expected, "DE", second_opinion=True)).reserve([text or ""])
    assert found == [text and single[key].scrub(text) for key, text in zip(ids, texts, strict=True)]
    assert counts == expected


def test_a_conversation_goes_on_in_the_next_batch() -> None:
    scrubber = BatchScrubber(Counter())
    assert scrubber.scrub(pa.array(["a@x.org", "b@x.org"]), pa.array(["1", "2"])).to_pylist() == ["<EMAIL_1>"] * 2
    assert scrubber.scrub(pa.array(["c@x.org a@x.org"]), pa.array(["1"])).to_pylist() == ["<EMAIL_2> <EMAIL_1>"]


def test_every_detector_is_asked_or_left_out_for_a_reason() -> None:
    from detect_secrets import plugins
    from detect_secrets.plugins.base import BasePlugin

    named = set()
    for module in pkgutil.iter_modules(plugins.__path__):
        members = vars(importlib.import_module(f"detect_secrets.plugins.{module.name}")).values()
        named |= {
            f"{module.name}.{member.__name__}"
            for member in members
            if isinstance(member, type) and issubclass(member, BasePlugin) and member.__module__.endswith(module.name)
        }
    entropy = {name for name in named if name.startswith(("high_entropy", "base"))} - {"basic_auth.BasicAuthDetector"}
    assert named - entropy == {*HINTS, *LEFT_OUT}


def test_a_second_opinion_finds_nothing_after_ours_and_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    texts = [planted.text(kind, seed) for kind in planted.FORMS for seed in range(3)]
    assert sum(len(findings(text)) for text in texts) > 40
    left = {text: findings(Scrubber(Counter(), "DE").scrub(text)) for text in texts}
    assert {text: found for text, found in left.items() if found} == {}


def test_what_only_the_second_opinion_knows_is_removed_and_counted() -> None:
    value = "cl" + "ou_key = " + "abcdefghijklmnopqrstuvwx"
    counts: Counter[str] = Counter()
    assert Scrubber(counts, second_opinion=True).scrub(value) == "clou_key = <SECRET_1>"
    assert counts == {"second_opinion": 1}
