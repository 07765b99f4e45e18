"""Runs are compared on the same prompts only, by numbers worked out by hand; what cannot be compared is refused."""

import copy
import hashlib
import json
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tests.typed import said
from twin.cli import app
from twin.compare import render
from twin.compare.cache import dvc_objects
from twin.compare.groups import Group
from twin.compare.inference import (
    Margins,
    Paired,
    difference,
    seed_weights,
    side_by_side,
    sign_flips,
    stretch,
    verdict,
)
from twin.compare.report import compare
from twin.compare.stored import Stored, read, sources
from twin.errors import ConfigError, DataError, ProvenanceError
from twin.intervals import Interval, holm
from twin.runs import Run
from twin.trials import Score, trial

Row = dict[str, Any]
CONVERSATIONS = 8
TOKENS = 10
PARAMS = {
    "train.seed": 1,
    "augment.tags": "context",
    "augment.shuffle_seed": 0,
    "adapter.rank": 8,
    "generate.max_new_tokens": 64,
}
TRAIN = {"valid": {"masked_nats_per_token": {"best": 1.5}}, "supervised_tokens": {"valid": 99}}
FIXED = ("deploy", "review", "queue", "cache", "merge")


def ids() -> list[tuple[str, str]]:
    return [(f"p{c}{k}", f"c{c}") for c in range(CONVERSATIONS) for k in range(2)]


def example(one: str, conversation: str) -> Row:
    said = (("system", "You are Sam."), ("user", f"and {one}?"), ("assistant", f"ship {one}"))
    return {
        "id": one,
        "conversation_id": conversation,
        "messages": [{"role": role, "content": content} for role, content in said],
    }


def stored(name: str = "a", nats: float = 20.0, score: int = 2, tokens: int = TOKENS, **changes: Any) -> Stored:
    """A run that finds every reply equally likely and scores alike everywhere."""
    fixed = [(one, None) for one in FIXED]
    asked = [("protocol", *one) for one in fixed] + [("test", *one) for one in ids()]
    said = [
        {"arm": "X", "prompt_set": part, "prompt_id": one, "conversation_id": home, "prompt": f"and {one}?"}
        | {"text": f"{name} says {one}"}
        for part, one, home in asked
    ]
    likely = [
        {"arm": "X", "prompt_set": "test", "prompt_id": one, "conversation_id": home, "stock": False}
        | {"total_nats": nats, "tokens": tokens, "bytes": len(f"ship {one}")}
        for one, home in ids()
    ]
    scores = [
        {"arm": arm, "prompt_set": part, "prompt_id": one, "score": score if arm == "X" else 3}
        for part, one, _ in asked
        for arm in ("X", "R")
    ]
    run = Stored(
        name=name,
        id=hashlib.sha256(name.encode()).hexdigest(),
        params=PARAMS,
        sources={"stages/train": "1"},
        test=tuple(example(*one) for one in ids()),
        generations=tuple(said),
        likelihoods=tuple(likely),
        scores=tuple(scores),
        rubric="1",
        instrument="PASS",
        train=TRAIN,
    )
    return replace(run, **changes)


def told(*runs: Stored | tuple[Stored, ...], margins: Margins = Margins()) -> Row:  # noqa: B008
    groups = [Group(run if isinstance(run, tuple) else (run,)) for run in runs]
    return compare(groups, margins)


def metric(name: str, *runs: Stored | tuple[Stored, ...]) -> Row:
    return dict(told(*runs)["comparisons"][0]["metrics"][name])


def paired(ahead: list[float], conversations: list[str] | None = None) -> Paired:
    homes = conversations or [f"c{place}" for place in range(len(ahead))]
    values = np.array([ahead])
    return Paired(tuple(homes), np.ones(len(ahead)), np.zeros_like(values), values)


def test_a_bit_a_token_less_is_one_bit_better() -> None:
    better = stored("b", nats=20.0 - TOKENS * math.log(2))
    found = metric("bits_per_token", stored(), better)
    assert found["difference"]["value"] == pytest.approx(1.0)
    assert found["difference"]["lower"] == pytest.approx(1.0)
    assert found["reference"] == pytest.approx(2 / math.log(2))
    assert found["compared"] == pytest.approx(2 / math.log(2) - 1)
    assert found["verdict"] == "better"
    assert found["p"] == 2 / 2**CONVERSATIONS
    assert metric("bits_per_token", better, stored())["verdict"] == "worse"


def test_long_replies_weigh_by_their_tokens() -> None:
    run, other = stored(), stored("b")
    rows = [dict(row) for row in other.likelihoods]
    longer = [dict(row) for row in run.likelihoods]
    rows[0] |= {"tokens": 850, "total_nats": 20.0 - 1000 * math.log(2)}
    longer[0] |= {"tokens": 850}
    found = metric(
        "bits_per_token", replace(run, likelihoods=tuple(longer)), replace(other, likelihoods=tuple(rows))
    )  # 1,000 bits over 850 + 15 × 10 tokens
    assert found["difference"]["value"] == pytest.approx(1.0)


def test_the_same_run_is_equivalent_with_differences_of_zero() -> None:
    one = told(stored(), stored())["comparisons"][0]
    for found in one["metrics"].values():
        assert found["verdict"] == "equivalent"
        assert (found["difference"]["value"], found["difference"]["lower"], found["difference"]["upper"]) == (0, 0, 0)
        assert found["p"] == 1
    assert "same id" in " ".join(one["notes"])


def test_unlike_tokens_refuse_bits_per_token_and_bytes_stand_instead() -> None:
    size = len("ship p00")
    found = told(stored(), stored("b", tokens=9, nats=20.0 - size * math.log(2)))["comparisons"][0]["metrics"]
    assert "cut 16 of 16 replies into unlike numbers of tokens" in found["bits_per_token"]["refused"]
    assert found["bits_per_byte"]["difference"]["value"] == pytest.approx(1.0)
    assert found["bits_per_byte"]["margin"] == 0.02


def test_like_tokens_show_no_bytes() -> None:
    assert set(told(stored(), stored("b"))["comparisons"][0]["metrics"]) == {
        "bits_per_token",
        "rubric_test",
        "protocol10",
    }


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (-0.15, 0.15, "equivalent"),
        (0.01, 0.15, "equivalent"),
        (0.01, 0.1501, "better"),
        (0.0, 0.2, "inconclusive"),
        (-0.1501, 0.1, "inconclusive"),
        (-0.1501, -0.0001, "worse"),
        (-0.2, 0.0, "inconclusive"),
        (-0.15, -0.01, "equivalent"),
    ],
)
def test_a_verdict_is_equivalence_first_then_a_sign(lower: float, upper: float, expected: str) -> None:
    assert verdict(Interval((lower + upper) / 2, lower, upper, 30), 0.15, p=0.01) == expected


def test_bounds_that_the_sign_flips_do_not_bear_out_settle_nothing() -> None:
    assert verdict(Interval(0.3, 0.1, 0.5, 30), 0.15, p=0.11) == "inconclusive"
    assert verdict(Interval(-0.3, -0.5, -0.1, 30), 0.15, p=0.11) == "inconclusive"
    assert verdict(Interval(0.0, -0.1, 0.1, 30), 0.15, p=1.0) == "equivalent"


def test_four_conversations_settle_nothing() -> None:
    assert verdict(Interval(1.0, 1.0, 1.0, 4), 0.15, p=0.1) == "inconclusive"
    assert verdict(Interval(1.0, 1.0, 1.0, 5), 0.15, p=0.1) == "better"


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_margin_is_a_finite_number_from_zero_on(value: float) -> None:
    with pytest.raises(ConfigError, match=r"--margin-bits-per-byte is .*; give 0 or more"):
        Margins(bits_per_byte=value)


def test_signs_flip_by_whole_conversations() -> None:
    assert sign_flips(paired([1, 2, 3])) == 2 / 8
    assert sign_flips(paired([1, 2, -3])) == 1
    assert sign_flips(paired([1, 1, 1, 1], ["a", "a", "b", "b"])) == 2 / 4
    assert sign_flips(paired([1, -1], ["a", "a"])) == 1


def test_signs_are_enumerated_up_to_fourteen_and_drawn_beyond() -> None:
    assert sign_flips(paired([1.0] * 14)) == 2 / 2**14
    assert sign_flips(paired([1.0] * 60)) == 1 / 10_001
    assert sign_flips(paired([1.0] * 60)) == sign_flips(paired([1.0] * 60))


def test_fifteen_of_twenty_decided_wins_have_the_binomials_p() -> None:
    found = side_by_side(paired([1.0] * 15 + [-2.0] * 5 + [0.0] * 7))
    assert (found.wins, found.losses, found.ties) == (15, 5, 7)
    assert found.p == pytest.approx(2 * 0.020694732666015625)
    assert side_by_side(paired([0.0])).p == 1


def test_holm_steps_down_and_never_back() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]


def test_holm_enters_with_the_third_run_and_counts_every_claim() -> None:
    better = stored("b", nats=20.0 - TOKENS * math.log(2))
    two = told(stored(), better)["comparisons"][0]
    assert "p_holm" not in two["metrics"]["bits_per_token"]
    tree = told(stored(), better, stored("c"), stored("d"), stored("e"))
    found = tree["comparisons"][0]
    assert found["metrics"]["bits_per_token"]["p_holm"] == pytest.approx(16 * 2 / 2**CONVERSATIONS)
    assert found["side_by_side"]["p_holm"] == 1
    assert "bits_per_token: better by itself, p 0.125 among 16 claims (Holm)." in found["notes"]
    assert "p (Holm)" in render.screen(tree, 0)


def edited(rows: tuple[Row, ...], place: int, **values: Any) -> tuple[Row, ...]:
    copied = copy.deepcopy(list(rows))
    copied[place] |= values
    return tuple(copied)


def reworded(run: Stored, turn: int, text: str) -> Stored:
    test = copy.deepcopy(run.test)
    test[0]["messages"][turn]["content"] = text
    return replace(run, test=test)


REFUSED: dict[str, tuple[Callable[[Stored], Stored], str]] = {
    "ids": (
        lambda run: replace(run, test=run.test[1:]),
        r"a and b: the test sets differ: 1 only in the first, 0 only in the second \(p00\)",
    ),
    "replies": (lambda run: reworded(run, -1, "ship P00"), r"real replies differ in 1 of 16 prompts \(p00\)"),
    "contexts": (lambda run: reworded(run, 1, "or p00?"), r"contexts differ in 1 of 16 prompts \(p00\)"),
    "answered": (
        lambda run: replace(run, generations=run.generations[:-1]),
        r"the answered test prompts differ: 1 only in the first, 0 only in the second \(p71\)",
    ),
    "protocol": (
        lambda run: replace(run, generations=run.generations[1:]),
        r"the answered protocol prompts differ: 1 only in the first",
    ),
    "wording": (
        lambda run: replace(run, generations=edited(run.generations, 0, prompt="The deploy?")),
        r"protocol prompts differ in 1 of 5 prompts \(deploy\)",
    ),
    "likelihoods": (
        lambda run: replace(run, likelihoods=run.likelihoods[2:]),
        r"b: the test.jsonl and nll.jsonl differ: 2 only in the first",
    ),
    "bytes": (
        lambda run: replace(run, likelihoods=edited(run.likelihoods, 0, bytes=99)),
        r"b: nll.jsonl scored another reply than test.jsonl has for p00",
    ),
    "scores": (
        lambda run: replace(run, scores=run.scores[2:]),
        r"b: the protocol replies and their scores differ: 1 only in the first",
    ),
    "twice": (
        lambda run: replace(run, scores=(*run.scores, run.scores[0])),
        r"b: scores.jsonl has protocol prompt deploy twice for arm X",
    ),
    "no arm": (
        lambda run: replace(run, generations=()),
        r"b: generations.jsonl has no test prompt for arm X",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_runs_that_were_not_asked_alike_are_refused(name: str) -> None:
    change, message = REFUSED[name]
    with pytest.raises(DataError, match=message):
        told(stored(), change(stored("b")))


def test_runs_that_decode_differently_are_refused() -> None:
    other = stored("b", params=PARAMS | {"generate.max_new_tokens": 32})
    with pytest.raises(ProvenanceError, match=r"a and b decode differently: generate.max_new_tokens 64 v 32"):
        told(stored(), other)


def test_one_run_is_not_a_comparison() -> None:
    with pytest.raises(ConfigError, match="twin compare takes two runs or more"):
        told(stored())


def test_a_masked_and_an_unmasked_training_loss_are_refused_in_their_line_only() -> None:
    unmasked = {"valid": {"nats_per_token": {"best": 1.5}}, "supervised_tokens": {"valid": 99}}
    one = told(stored(), stored("b", train=unmasked))["comparisons"][0]
    assert one["training_loss"]["refused"].startswith("masked_nats_per_token v nats_per_token")
    assert one["metrics"]["bits_per_token"]["verdict"] == "equivalent"


def test_training_losses_over_other_replies_are_refused() -> None:
    one = told(stored(), stored("b", train=TRAIN | {"supervised_tokens": {"valid": 98}}))["comparisons"][0]
    assert one["training_loss"]["refused"].startswith("98 v 99 supervised tokens")


def test_training_losses_of_one_kind_get_no_verdict() -> None:
    better = stored("b", train=TRAIN | {"valid": {"masked_nats_per_token": {"best": 0.1}}})
    found = told(stored(), better)["comparisons"][0]["training_loss"]
    assert found == {"kind": "masked_nats_per_token", "reference": 1.5, "compared": 0.1}


def test_other_system_lines_are_allowed_and_said() -> None:
    other = replace(reworded(stored("b"), 0, "You are Sam. [trajectory: c=0.1]"), params=PARAMS | {"augment.tags": "x"})
    one = told(stored(), other)["comparisons"][0]
    assert one["metrics"]["bits_per_token"]["verdict"] == "equivalent"
    assert "system lines differ in 1 of 16 test prompts (augment.tags: context v x)" in one["notes"][0]
    assert one["differs"]["params"] == {"augment.tags": ["context", "x"]}


def test_scores_of_an_instrument_that_failed_are_refused_and_bits_are_not() -> None:
    one = told(stored(), stored("b", instrument="FAIL"))["comparisons"][0]
    assert "self-test is FAIL in b" in one["metrics"]["rubric_test"]["refused"]
    assert "self-test is FAIL in b" in one["metrics"]["protocol10"]["refused"]
    assert one["metrics"]["bits_per_token"]["verdict"] == "equivalent"
    assert "side_by_side" not in one


def test_unlike_rubrics_are_said_with_what_they_give_the_person() -> None:
    scores = tuple(row | {"score": 1} if row["arm"] == "R" else row for row in stored().scores)
    one = told(stored(), stored("b", rubric="2", scores=scores))["comparisons"][0]
    assert "score a 3.00, b 1.00" in " ".join(one["notes"])
    assert told(stored(), stored("b"))["comparisons"][0]["notes"] == []


def test_stock_phrases_are_left_out_in_a_second_view() -> None:
    def lucky(run: Stored, nats: float) -> Stored:
        return replace(run, likelihoods=edited(run.likelihoods, 0, stock=True, total_nats=nats))

    found = metric("bits_per_token", lucky(stored(), 20.0), lucky(stored("b"), 0.0))
    assert found["difference"]["value"] > 0
    assert found["without_stock"]["difference"]["value"] == 0
    assert found["without_stock"]["difference"]["n"] == 15


def seeds(name: str, nats: tuple[float, ...], first: int = 1) -> tuple[Stored, ...]:
    return tuple(
        stored(f"{name}{place}", nats=value, params=PARAMS | {"train.seed": first + place})
        for place, value in enumerate(nats)
    )


def test_three_seeds_a_side_speak_of_the_recipe() -> None:
    bit = TOKENS * math.log(2)
    tree = told(seeds("a", (40, 40 + bit, 40 - bit)), seeds("b", (40 - bit, 40 - bit, 40 - bit)))
    one = tree["comparisons"][0]
    found = one["metrics"]["bits_per_token"]["difference"]
    assert one["scope"] == "recipe" and one["words"].startswith("Recipe: 3 v 3 seeds")
    assert found["value"] == pytest.approx(1.0)
    # Conversations are all alike, so that only seeds move the bounds.
    assert found["lower"] < 0.5 and found["upper"] > 1.5
    assert one["differs"]["params"] == {}


@pytest.mark.parametrize(("ours", "theirs"), [(1, 1), (2, 3), (3, 1), (2, 2)])
def test_fewer_than_three_seeds_on_one_side_speak_of_artefacts_only(ours: int, theirs: int) -> None:
    tree = told(seeds("a", (40.0,) * ours), seeds("b", (40.0,) * theirs))
    assert tree["comparisons"][0]["scope"] == "artefact"
    assert "artefact" in tree["comparisons"][0]["words"] and "says nothing of the recipe" in tree["comparisons"][0][
        "words"
    ].replace("say nothing", "says nothing")


def test_seed_weights_spread_a_mean_by_its_unbiased_standard_error() -> None:
    values = np.array([1.0, 2.0, 6.0])
    means = (seed_weights(3, 1) * values).mean(1)
    assert means.var() == pytest.approx(values.var(ddof=1) / 3, rel=0.05)
    assert means.mean() == pytest.approx(3.0, abs=0.1)
    assert (seed_weights(3, 1, 2.0) * values).mean(1).var() == pytest.approx(4 * means.var())
    assert stretch(4) == pytest.approx(2.1318 / 1.6449, rel=1e-3)


def test_one_seed_a_side_is_the_interval_over_conversations() -> None:
    rng = np.random.default_rng(3)
    single = paired(rng.normal(size=30).tolist())
    found = difference(single)
    assert found.clusters == 30 and found.lower < found.value < found.upper


def test_one_side_is_one_recipe() -> None:
    with pytest.raises(ProvenanceError, match=r"a and b differ in adapter.rank: .* differ in seeds only"):
        told((stored(), stored("b", params=PARAMS | {"adapter.rank": 16})), stored("c"))
    with pytest.raises(ProvenanceError, match=r"a and b differ in stages/train: "):
        told((stored(), stored("b", sources={"stages/train": "2"})), stored("c"))
    both = PARAMS | {"train.seed": 2, "augment.shuffle_seed": 1}
    assert told((stored(), stored("b", params=both)), stored("c"))["comparisons"][0]["scope"] == "artefact"


def test_a_seed_counts_once() -> None:
    with pytest.raises(ProvenanceError, match="a and b are the same run .* a seed counts once"):
        told((stored(), stored("b", id=stored().id)), stored("c"))


def test_what_was_said_is_data_on_the_screen_and_in_markdown() -> None:
    evil = "\x1b[31mred | <b>bold</b> `code`\n\u202edone"
    run = stored("b")
    tree = told(stored(), replace(run, generations=edited(run.generations, 0, text=evil)))
    shown, page = render.screen(tree, 5), render.markdown(tree)
    assert "\x1b" not in shown + page and "\u202e" not in shown + page
    row = next(line for line in page.splitlines() if "31mred" in line)
    assert r"\[31mred \| \<b\>bold\</b\> \`code\` done" in row


def test_the_screen_shows_as_many_replies_as_asked_and_markdown_all() -> None:
    tree = told(stored(), stored("b"))
    assert "b says" not in render.screen(tree, 0)
    assert "b says deploy" in render.screen(tree, 1) and "b says review" not in render.screen(tree, 1)
    assert "b says deploy" in render.markdown(tree) and "b says review" in render.markdown(tree)
    assert "This artefact only" in render.screen(tree, 0) and "This artefact only" in render.markdown(tree)
    assert max(map(len, render.screen(tree, 2).splitlines())) <= 110


# From here on: runs in a repository.

OUTS = {
    "split": {"data/split": {"test.jsonl": "test"}},
    "train": {"models/sft": {"x": None}},
    "align": {"models/adapter": {"x": None}},
    "generate": {"data/generate": {"generations.jsonl": "generations", "nll.jsonl": "likelihoods"}},
    "evaluate": {"data/evaluate": {"scores.jsonl": "scores", "rubric.json": None}},
}
DEPS = {
    "split": [],
    "train": ["data/split"],
    "align": ["models/sft"],
    "generate": ["data/split", "models/adapter"],
    "evaluate": ["data/split", "data/generate"],
}


def keep(cache: Path, data: bytes, suffix: str = "") -> str:
    md5 = hashlib.md5(data).hexdigest() + suffix
    path = cache / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return md5


def write_run(root: Path, run: Stored, seed: int = 1) -> None:
    """Write what git and DVC's cache hold of a finished run."""
    cache = root / ".dvc/cache/files/md5"
    md5s, stages = dict[str, str](), dict[str, Any]()
    for stage, folders in OUTS.items():
        for folder, files in folders.items():
            entries = []
            for file, rows in files.items():
                text = "".join(json.dumps(row) + "\n" for row in getattr(run, rows)) if rows else "{}\n"
                entries.append({"md5": keep(cache, text.encode()), "relpath": file})
            md5s[folder] = keep(cache, json.dumps(entries).encode(), ".dir")
        stages[stage] = {
            "cmd": stage,
            "deps": [{"path": path, "md5": md5s[path]} for path in DEPS[stage]],
            "params": {"params.yaml": {"train": {"seed": seed, "rate": "1e-05"}}} if stage == "train" else {},
            "outs": [{"path": folder, "md5": md5s[folder]} for folder in folders],
        }
    (root / "metrics").mkdir(exist_ok=True)
    (root / "metrics/evaluate.json").write_text(json.dumps({"instrument": {"state": run.instrument}}))
    (root / "metrics/train.json").write_text(json.dumps(run.train))
    (root / "params.yaml").write_text(f"train: {{seed: {seed}, rate: 1.0e-05}}\ngenerate: {{max_new_tokens: 64}}\n")
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


def commit(message: str) -> None:
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", message)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (tmp_path / ".gitignore").write_text("/.dvc/cache\n/.dvc/tmp\n")
    write_run(tmp_path, stored())
    git("init", "-q")
    commit("a")
    write_run(tmp_path, stored("b", nats=20.0 - TOKENS * math.log(2)))
    return tmp_path


def test_a_commit_and_the_working_tree_are_read_from_the_cache(project: Path) -> None:
    committed, here = read("HEAD", dvc_objects()), read("-", dvc_objects())
    assert committed.likelihoods == stored().likelihoods and committed.test == stored().test
    assert here.name == "workspace" and here.likelihoods != committed.likelihoods
    assert committed.params["generate.max_new_tokens"] == 64 and committed.instrument == "PASS"
    assert not (project / "data").exists()


def test_the_command_writes_the_same_bytes_every_time(project: Path) -> None:
    written = []
    for _ in range(2):
        arguments = ["compare", "HEAD", "workspace", "--json", "c.json", "--markdown", "c.md", "--replies", "1"]
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        written.append((done.output, Path("c.json").read_bytes(), Path("c.md").read_bytes()))
    assert written[0] == written[1]
    assert "better" in written[0][0]
    wide = [*arguments, "--margin-bits-per-token", "2"]
    assert "better" not in CliRunner().invoke(app, wide).output.split("workspace (", 1)[1]
    assert json.loads(written[0][1])["comparisons"][0]["metrics"]["bits_per_token"]["verdict"] == "better"


def test_typed_as_the_pages_show_three_seeds_a_side_are_compared(project: Path) -> None:
    for name, nats in (("A", 20.0), ("B", 20.0 - TOKENS * math.log(2))):
        for seed in (1, 2, 3):
            write_run(project, stored(f"{name}{seed}", nats=nats + seed / 100), seed)
            commit(f"{name}{seed}")
            git("tag", f"{name}{seed}")
    told = said("twin compare A1,A2,A3 B1,B2,B3", project)
    assert "better" in told


def test_an_output_that_is_not_in_the_cache_names_the_ways_back(project: Path) -> None:
    (listing,) = (out["md5"] for out in yaml.safe_load(Path("dvc.lock").read_text())["stages"]["generate"]["outs"])
    (project / ".dvc/cache/files/md5" / listing[:2] / listing[2:]).unlink()
    with pytest.raises(DataError, match=r"workspace: data/generate \(\w+\.dir\) is not .* `dvc fetch .* `dvc repro`"):
        read("-", dvc_objects())


def test_a_folder_of_the_working_tree_with_the_locked_hash_serves(project: Path) -> None:
    Path("data/generate").mkdir(parents=True)
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    cache = project / ".dvc/cache/files/md5"
    md5 = lock["stages"]["generate"]["outs"][0]["md5"]
    listing = cache / md5[:2] / md5[2:]
    for entry in json.loads(listing.read_text()):
        Path("data/generate", entry["relpath"]).write_bytes((cache / entry["md5"][:2] / entry["md5"][2:]).read_bytes())
    before = read("-", dvc_objects())
    listing.unlink()
    assert read("-", dvc_objects()) == before
    Path("data/generate/nll.jsonl").write_text("")
    with pytest.raises(DataError, match="is not in DVC's cache"):
        read("-", dvc_objects())


def test_a_damaged_object_is_refused(project: Path) -> None:
    for path in (project / ".dvc/cache/files/md5").glob("*/*"):
        if not path.name.endswith(".dir"):
            path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DataError, match="is damaged"):
        read("-", dvc_objects())


def test_outputs_of_other_parameters_are_refused(project: Path) -> None:
    Path("params.yaml").write_text("train: {seed: 2, rate: 1.0e-05}\n")
    with pytest.raises(ProvenanceError, match=r"workspace: train ran with train.seed=1, params.yaml says 2"):
        read("-", dvc_objects())


def test_scores_of_other_replies_are_refused(project: Path) -> None:
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"]["evaluate"]["deps"][1]["md5"] = "0" * 32 + ".dir"
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(ProvenanceError, match="evaluate read data/generate 00000000, dvc.lock has it as"):
        read("-", dvc_objects())


def test_a_run_that_ended_before_its_evaluation_has_no_score(project: Path) -> None:
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"]["ingest"] = {"cmd": "ingest", "deps": [{"path": "data/raw", "md5": "1" * 32}]}
    good = {"value": 2.0, "lower": 1.9, "upper": 2.1}
    Path("metrics/evaluate.json").write_text(json.dumps({"rubric_test": {"all": {"X": good}}}))
    for seed, scores in ((None, {"rubric": Score(2.0, 1.9, 2.1)}), (99, {})):
        if seed:  # as `dvc exp run -S train.seed=99 train` leaves the stages behind it
            lock["stages"]["train"]["params"]["params.yaml"]["train"]["seed"] = seed
        Path("dvc.lock").write_text(yaml.safe_dump(lock))
        found = trial(Run(), "workspace")
        assert found is not None and found.scores == scores


def test_an_unfinished_run_is_refused(project: Path) -> None:
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    del lock["stages"]["evaluate"]
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(DataError, match=r"workspace: dvc.lock has no evaluate yet"):
        read("-", dvc_objects())


def test_outside_a_repository_there_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="is not in a DVC repository"):
        dvc_objects()


def test_how_a_run_is_decided_and_shown_is_no_source_of_it() -> None:
    stages = ("train", "generate", "promote", "report")
    inputs = {stage: {"cmd": "c", "deps": {f"stages/{stage}": "1"}, "params": {}} for stage in stages}
    assert sources(SimpleNamespace(inputs=inputs), {}) == {"stages/train": "1", "stages/generate": "1"}
