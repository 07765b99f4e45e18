"""Pairs say what the person would rather have said: what makes one, what makes none and why, and who may not teach."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.prefer import prefer, sample
from stages.prefer.lengths import by_source, lengths, warning
from stages.prefer.pairs import Pair, sift
from tests import rating
from tests.conftest import make_rows
from tests.structure import ROOT
from twin.config.prefer import PreferConfig, Rejected
from twin.errors import DataError
from twin.ratings import read_sessions

CONFIG = PreferConfig(
    rejected=Rejected.both, pairs=8, held_out=4, max_new_tokens=12, agreement=90.0, length_ratio=None, seed=17
)
ASKED = {"train": make_rows(8, seed=1), "valid": make_rows(4, seed=2)}
SHA256 = "7" * 64


def reply(part: str, id_: str, arm: str, text: str, *, stopped: bool = True) -> dict[str, Any]:
    return {
        "split": part, "prompt_id": id_, "arm": arm, "text": text, "tokens": len(text.split()), "stopped": stopped,
    }  # fmt: skip


def replies(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    """What everybody said; `changed` by prompt and arm, such as `r1_000_base`."""
    rows = []
    for part, asked in ASKED.items():
        for row in asked:
            name = row["id"].replace("-", "_")
            said = {
                "R": row["messages"][-1]["content"],
                "base": f"no idea {row['id']}",
                "twin": f"well {row['id']} xyz",
            }
            for arm, text in said.items():
                given = {"text": text, **changed.get(f"{name}_{arm}", {})}
                rows.append(reply(part, row["id"], arm, given["text"], stopped=given.get("stopped", True)))
    return rows


def test_the_persons_reply_is_preferred_to_every_other_one_to_the_same_prompt() -> None:
    pairs, metrics = prefer(ASKED, replies(), [], SHA256, CONFIG)
    assert metrics["pairs"] == {"train": {"base": 8, "twin": 8}, "valid": {"base": 4, "twin": 4}}
    by_id = {row["id"]: row for rows in ASKED.values() for row in rows}
    for pair in pairs:
        row = by_id[pair.id.split("/")[0]]
        assert [*pair.messages, {"role": "assistant", "content": pair.chosen}] == row["messages"]
        assert pair.rejected.startswith({"base": "no idea", "twin": "well"}[pair.source])
        assert pair.split == ("train" if pair.id.startswith("r1") else "valid")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": "half a", "stopped": False}, "unfinished"),
        ({"text": " \n"}, "empty"),
        ({"text": "no <|im_end|> never"}, "control_string"),
    ],
)
def test_what_teaches_nothing_makes_no_pair_and_is_counted(change: dict[str, Any], reason: str) -> None:
    pairs, metrics = prefer(ASKED, replies(r1_003_base=change), [], SHA256, CONFIG)
    assert metrics["left_out"] == {"train": {reason: 1}, "valid": {}}
    assert metrics["pairs"]["train"] == {"base": 7, "twin": 8}
    assert all(not (pair.source == "base" and pair.id.startswith("r1-003/")) for pair in pairs)


def test_replies_that_agree_or_are_there_already_make_no_pair() -> None:
    own = ASKED["train"][3]["messages"][-1]["content"]
    same = replies(r1_003_base={"text": f"{own.upper()}!"}, r1_004_base={"text": "aha"}, r1_004_twin={"text": "Aha."})
    _, metrics = prefer(ASKED, same, [], SHA256, CONFIG)
    assert metrics["left_out"]["train"] == {"agree": 1, "duplicate": 1}


def pair(chosen: int, rejected: int, name: str = "p") -> Pair:
    words = "word " * chosen, "other " * rejected
    return Pair(name, "train", "base", "c", [{"role": "user", "content": name}], *words, chosen, rejected)


@pytest.mark.parametrize(("ratio", "kept"), [(None, 4), (2.0, 2), (1.0, 1)])
def test_length_matching_keeps_pairs_of_like_lengths_and_counts_the_others(ratio: float | None, kept: int) -> None:
    # With the stop token: 4 and 4, 4 and 8, 4 and 9, 21 and 2.
    pairs = [pair(*sizes, f"p{number}") for number, sizes in enumerate([(3, 3), (3, 7), (3, 8), (20, 1)])]
    left_out = {"train": Counter[str]()}
    told, matched = sift(pairs, replace(CONFIG, length_ratio=ratio), left_out)
    assert (len(told), len(matched), left_out["train"]["length"]) == (4, kept, 4 - kept)


def test_lengths_are_told_in_words_and_tokens() -> None:
    told = lengths([pair(3, 7), pair(5, 5), pair(9, 2), pair(1, 4)])
    assert told["tokens"]["chosen"] == {"p10": 1, "p50": 5, "p90": 9, "mean": 4.5}
    assert told["words"]["rejected"] == {"p10": 2, "p50": 5, "p90": 7, "mean": 4.5}
    assert (told["tokens"]["chosen_shorter"], told["tokens"]["equal"]) == (0.5, 0.25)
    assert told["tokens"]["told_by_length"] == 0.625
    assert lengths([]) == {}


@pytest.mark.parametrize("sizes", [(2, 9), (9, 2)])
def test_where_length_alone_tells_the_pairs_apart_a_warning_says_so(sizes: tuple[int, int]) -> None:
    told = by_source([*(pair(*sizes) for _ in range(9)), pair(4, 4)])
    assert told == {"base": {"pairs": 10, "told_by_length": 0.95}}
    assert (warning(told) or "").startswith("length alone tells 95% of the 10 pairs of base apart")
    assert warning(by_source([pair(*sizes) for _ in range(9)])) is None


def test_a_source_of_like_lengths_does_not_hide_another_that_length_tells_apart() -> None:
    twin = [replace(pair(*sizes), source="twin") for _ in range(10) for sizes in ((4, 5), (5, 4))]
    told = by_source([*twin, *(pair(2, 9) for _ in range(10))])
    assert told["twin"] == {"pairs": 20, "told_by_length": 0.5}
    assert (warning(told) or "").startswith("length alone tells 100% of the 10 pairs of base apart")
    assert warning(by_source(twin)) is None


def test_a_part_without_pairs_is_an_error_that_says_where_they_went() -> None:
    own = {row["id"].replace("-", "_"): row["messages"][-1]["content"] for row in ASKED["valid"]}
    same = {f"{name}_{arm}": {"text": text} for name, text in own.items() for arm in ("base", "twin")}
    with pytest.raises(DataError, match=r"no pair of valid is left \(8 agree\)"):
        prefer(ASKED, replies(**same), [], SHA256, CONFIG)


def test_a_larger_sample_adds_to_a_smaller_one() -> None:
    rows = make_rows(50)
    few, many = sample(rows, 10, 17), sample(rows, 30, 17)
    assert many[:10] == few and len({row["id"] for row in many}) == 30
    assert sample(rows, 10, 18) != few and len(sample(rows, 99, 17)) == 50


# From here on: what people said who rated blind.


def sessions(folder: Path, wanted: Sequence[str | None], ids: Sequence[str], prompt_set: str, **header: Any) -> Any:
    """Sessions that choose between base and twin; `X` in a session of the rating page is the twin here."""
    arms = {"twin": "X", "base": "B1", None: None}
    header = {"generations_sha256": SHA256, "mode": "prefer", **header}
    rows = rating.session([arms[one] for one in wanted], prompt_ids=ids, **header)
    names = {"X": "twin", "B1": "base"}
    for row in rows:
        if row["kind"] == "answer":
            row["arms"] = {side: names[arm] for side, arm in row["arms"].items()}
            row["prompt_set"] = prompt_set
    rating.write_session(folder / f"{header.get('id', 'one')}.jsonl", rows)
    return read_sessions(folder)


IDS = [row["id"] for row in ASKED["train"][:4]]


def test_a_rating_of_train_replies_makes_a_pair(tmp_path: Path) -> None:
    given = sessions(tmp_path, ["twin", "base", None, "twin"], IDS, "train")
    pairs, metrics = prefer(ASKED, replies(), given, SHA256, CONFIG)
    judged = {pair.id: (pair.chosen, pair.rejected) for pair in pairs if pair.source == "rating"}
    assert judged == {
        "r1-000/twin/base": ("well r1-000 xyz", "no idea r1-000"),
        "r1-001/base/twin": ("no idea r1-001", "well r1-001 xyz"),
        "r1-003/twin/base": ("well r1-003 xyz", "no idea r1-003"),
    }
    assert metrics["ratings"] == {"pairs": 3, "left_out": {"cant_tell": 1}}


@pytest.mark.parametrize(
    ("prompt_set", "header", "reason"),
    [
        ("test", {}, "prompt_that_judges"),
        ("cal", {}, "prompt_that_judges"),
        ("protocol", {}, "prompt_that_judges"),
        ("train", {"generations_sha256": "8" * 64}, "other_replies"),
        ("train", {"mode": "pairs"}, "other_question"),
        ("valid", {}, "unknown_reply"),  # ids of train
        ("train", {"key_sha256": "9" * 64}, "void_session"),
    ],
)
def test_a_rating_that_must_not_teach_is_refused_and_counted(
    tmp_path: Path, prompt_set: str, header: dict[str, Any], reason: str
) -> None:
    given = sessions(tmp_path, ["twin"] * 4, IDS, prompt_set, **header)
    pairs, metrics = prefer(ASKED, replies(), given, SHA256, CONFIG)
    assert metrics["ratings"] == {"pairs": 0, "left_out": {reason: 4}}
    assert pairs == prefer(ASKED, replies(), [], SHA256, CONFIG)[0]


def test_raters_who_disagree_make_no_pair_and_a_majority_does(tmp_path: Path) -> None:
    sessions(tmp_path, ["twin"] * 4, IDS, "train", id="a", rater="ann")
    given = sessions(tmp_path, ["base", "twin", "twin", "twin"], IDS, "train", id="b", rater="bob")
    _, metrics = prefer(ASKED, replies(), given, SHA256, CONFIG)
    assert metrics["ratings"] == {"pairs": 3, "left_out": {"raters_disagree": 2}}
    given = sessions(tmp_path, ["base"] * 4, IDS, "train", id="c", rater="cid")
    pairs, metrics = prefer(ASKED, replies(), given, SHA256, CONFIG)
    assert metrics["ratings"] == {"pairs": 4, "left_out": {}}
    assert {pair.id for pair in pairs if pair.source == "rating"} >= {"r1-000/base/twin", "r1-001/twin/base"}


def test_the_parts_that_judge_are_no_input() -> None:
    entry = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["prefer"]
    read = [dep for dep in entry["deps"] if dep.startswith("data/")]
    assert read == ["data/split/train.jsonl", "data/split/valid.jsonl", "data/ratings"]


OFF = """
import sys
import stages.prefer as stage
stage.main()
print(sorted({name.split(".")[0] for name in sys.modules} & {"mlx", "mlx_lm", "transformers"}))
"""


def test_off_costs_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", OFF], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert [(tmp_path / f"data/prefer/{name}.jsonl").read_text() for name in ("pairs", "replies")] == ["", ""]
    assert (tmp_path / "metrics/prefer.json").read_text() == '{\n  "method": "none"\n}\n'


# From here on: real models.


@pytest.fixture
def adapter(tiny_base: Path, tmp_path: Path) -> Path:
    import mlx.core as mx

    from twin.config.adapter import AdapterConfig, Kind
    from twin.model import adapt, load_base, trainable
    from twin.training.save import write_adapter

    base = load_base(tiny_base)
    config = adapt(base.model, AdapterConfig(Kind.lora, ["v_proj", "down_proj"], None, 4, 2.0, 0.0), 1)
    weights = {name: mx.full(array.shape, 0.2) for name, array in trainable(base.model).items()}
    write_adapter(tmp_path / "sft", weights, config, {}, lambda part: None)
    return tmp_path / "sft"


def test_base_and_twin_answer_as_they_do_anywhere_and_are_asked_once(
    tiny_base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.prefer import replies as module
    from twin.model import attach, load_base
    from twin.reply import Speaker
    from twin.tokens import prompt_tokens

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(module, "CHUNK", 3)

    def ask(asked: Any, max_tokens: int = 160) -> Any:
        return module.answers(tiny_base, adapter, asked, CONFIG, max_tokens=max_tokens, code="1")

    first = ask(ASKED)
    base = load_base(tiny_base)
    for arm in ("base", "twin"):
        if arm == "twin":
            attach(base, adapter)
        speaker = Speaker(base)
        for part, rows in ASKED.items():
            said = {row["prompt_id"]: row for row in first.rows if (row["split"], row["arm"]) == (part, arm)}
            for row in rows:
                expected = speaker.reply(prompt_tokens(row["messages"][:-1], base.tokenizer), 12)
                found = said[row["id"]]
                assert (found["text"], found["tokens"], found["stopped"]) == (
                    expected.text, expected.tokens, expected.stopped,
                )  # fmt: skip
    asked_again: list[int] = []
    answer = Speaker.replies

    def counting(self: Speaker, prompts: Any, limit: int) -> Any:
        asked_again.extend(map(len, prompts))
        return answer(self, prompts, limit)

    monkeypatch.setattr(Speaker, "replies", counting)
    assert ask(ASKED).rows == first.rows and asked_again == []
    more = ask({**ASKED, "valid": [*ASKED["valid"][:3], *make_rows(2, seed=9)]})
    assert len(asked_again) == 2 * 2 and len(more.rows) == 3 * (8 + 5)
    longest = max(len(prompt_tokens(row["messages"], base.tokenizer)) for row in ASKED["train"])
    short = ask(ASKED, longest - 1)
    assert short.too_long["train"] >= 1
    assert {row["prompt_id"] for row in short.rows} < {row["prompt_id"] for row in first.rows}
    with pytest.raises(DataError, match=r"none of 8 prompts fits into the 20 tokens .*max_new_tokens, 12\. Lower that"):
        ask(ASKED, 20)
