"""The report tells the run: decision first, replies with what capped them, every count; what was said stays text."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stages.report import page
from stages.report.funnel import funnel
from stages.report.material import gather
from stages.report.measures import measures
from stages.report.replies import held_out, ten
from stages.report.verdict import verdict
from tests.report_run import HOSTILE, METRICS, held, made
from tests.structure import ROOT
from twin.cli import app
from twin.compare.cache import stored_file
from twin.errors import DataError
from twin.files import read_json, write_json
from twin.page.gap import GAP, filled
from twin.page.sheet import SCRIPT, STYLE, number, policy, probability, said, signed, ticked
from twin.runlog import facts_path


@pytest.fixture(scope="module")
def html() -> str:
    return page(made())


def words(html: str) -> str:
    """Return what a reader sees, roughly."""
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition("<body>")[2]).split())


def test_the_decision_and_why_come_first(html: str) -> None:
    head, _, body = html.partition("<main")
    assert "HOLD The twin is not promoted" in words(head)
    order = ["protocol failed.", "gap unknown.", "What to do next", "provenance", "How it answers", "How it learned"]
    places = [words(f"<body>{body}").index(piece) for piece in (*order, "Memory", "The data")]
    assert places == sorted(places)


def test_a_gate_tells_its_state_by_word_and_sign(html: str) -> None:
    for name, sign, word in (("protocol", "✗", "failed"), ("gap", "?", "unknown"), ("secrets", "✓", "passed")):
        assert re.search(
            rf'scope="row">{name}</th><td[^>]*><b aria-hidden="true">{re.escape(sign)}</b>{word}</td>', html
        )
    assert [one["state"] for one in verdict(held())["gates"]][:3] == ["failed", "unknown", "passed"]


def test_what_was_said_stays_text(html: str) -> None:
    assert "&lt;script&gt;document.title=&#39;broken&#39;&lt;/script&gt;&lt;img src=x" in html
    assert html.count("<script>") == 1
    assert "<img" not in html
    assert "{{ 7 * 7 }}" in html
    assert not {"\u202e", "\x07"} & set(html)


def test_a_reply_names_the_rules_that_capped_it() -> None:
    shown = {reply["arm"]: reply for reply in ten(made())[0]["replies"]}
    assert (shown["X"]["score"], shown["X"]["why"]) == (1, "capped at 1 by off topic, slop soft")
    assert (shown["B1"]["score"], shown["B1"]["why"]) == (0, "level 0, and capped at 0 by echo")
    assert (shown["B0"]["score"], shown["B0"]["why"]) == (2, "level 2, no rule fired")
    assert len(ten(made())) == 10


def test_test_prompts_are_spread_evenly_and_have_the_persons_own_reply() -> None:
    shown = held_out(made("ok"))
    assert [one["id"] for one in shown] == ["t00", "t04", "t08", "t12", "t16", "t20"]
    assert shown[1]["replies"][-1] == {
        "arm": "R", "who": "person", "text": "the person says ok", "score": 2, "why": "level 2, no rule fired"
    }  # fmt: skip


def test_replies_without_a_rubric_show_their_rules_and_the_page_says_why_nothing_is_scored() -> None:
    material = made(evaluate={"instrument": {"state": "UNKNOWN", "why": "4 replies; 99 are needed"}})
    bare = [{key: value for key, value in row.items() if key not in ("score", "level")} for row in material.scores]
    html = page(replace(material, scores=bare))
    shown = words(html)
    assert "The rubric scored nothing: 4 replies; 99 are needed." in shown
    assert "not scored; rules that fired: echo" in shown
    assert 'class="score"' not in html


def test_the_funnel_loses_what_its_reasons_say() -> None:
    steps = {step["what"]: step for step in funnel(made())}
    rows, turns = steps["rows of the export"], steps["turns that somebody said"]
    assert rows["n"] - sum(n for _, n in turns["left_out"]) == turns["n"]
    replies, examples = steps["replies of the person"], steps["examples, each with its prompt"]
    assert replies["n"] - sum(n for _, n in examples["left_out"]) == examples["n"]
    assert "forgotten" in turns["none_of"]


def test_a_measure_has_its_floor_ceiling_bounds_n_and_clusters() -> None:
    evaluate = read_json(ROOT / "metrics/evaluate.json")
    rows = {row["title"]: row for row in measures(evaluate)}
    mean, scale = evaluate["rubric_test"]["all"]["X"], evaluate["rubric_test"]["all"]["X_similarity"]
    assert rows["rubric 0–3, test prompts"] == {
        "title": "rubric 0–3, test prompts", "raw": mean["value"], "floor": scale["floor"],
        "ceiling": scale["ceiling"], "normalised": scale["normalised"], "lower": mean["lower"],
        "upper": mean["upper"], "n": mean["n"], "clusters": mean["clusters"],
    }  # fmt: skip
    assert rows["train told from held-out (AUC)"]["raw"] == evaluate["memorisation"]["auc"]
    assert measures({}) == []


def test_every_declared_metrics_file_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*METRICS, "prefer", "undeclared"):
        write_json(tmp_path / f"metrics/{name}.json", {"pairs": {"won": 12345, "why": HOSTILE}})
    for path in ("data/generate/generations.jsonl", "data/evaluate/scores.jsonl", "metrics/train.csv"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    for path in ("data/augment/scalars.json", "models/adapter/recipe.json"):
        write_json(tmp_path / path, {})
    found = gather([*(f"metrics/{name}.json" for name in (*METRICS, "prefer")), "data/generate", "metrics/train.csv"])
    assert set(found.metrics) == {*METRICS, "prefer"}
    html = page(made(prefer=found.metrics["prefer"]))
    assert "Every number of metrics/prefer.json" in html
    assert re.search(r'pairs\.won</td><td class="n" data-value="12345">12,345</td>', html)


def test_the_same_run_gives_the_same_bytes_in_another_process(html: str) -> None:
    probe = "import hashlib; from stages.report import page; from tests.report_run import made; "
    probe += "print(hashlib.sha256(page(made()).encode()).hexdigest())"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == hashlib.sha256(html.encode()).hexdigest()


def test_the_page_is_one_small_file_that_names_nothing_elsewhere(html: str) -> None:
    assert len(html.encode()) < 500_000
    assert re.findall(r'(?:src|href)="(?!#|data:|\.\./)[^"]*"', html) == []
    assert "url(http" not in html and "@import" not in html


def test_charts_have_no_colours_of_one_theme_no_style_and_no_id_twice(html: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(charts) == 8
    assert re.findall(r"#[0-9a-fA-F]{6}", "".join(charts)) == []
    assert "style=" not in html.partition("<body>")[2]
    ids = re.findall(r' id="([^"]+)"', html)
    assert sorted({one for one in ids if ids.count(one) > 1}) == []
    referred = re.findall(r'(?:url\(#|href="#)([\w-]+)', html)
    assert sorted(set(referred) - set(ids)) == []
    assert all('role="img" aria-label="' in one for one in charts)


def test_headings_descend_one_level_at_a_time(html: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", html)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_table_has_a_caption_and_scopes(html: str) -> None:
    tables = re.findall(r"<table.*?</table>", html, flags=re.DOTALL)
    assert len(tables) > 8
    assert all("<caption>" in one for one in tables)
    assert all("scope=" in head for one in tables for head in re.findall(r"<th[ >][^>]*", one))


def test_the_policy_names_style_and_script_by_hash(html: str) -> None:
    style, script = STYLE.read_text(encoding="utf-8"), SCRIPT.read_text(encoding="utf-8")
    assert f"<style>{style}</style>" in html and f"<script>{script}</script>" in html
    named = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert named is not None
    assert named[1].replace("&#39;", "'") == policy(style, script)
    assert "unsafe" not in named[1] and "default-src" in named[1]


def test_an_override_stands_in_the_commands() -> None:
    config = {"overrides": {"adapter.rank": {"conf": "32", "run": "8"}}, "params_sha256": "0"}
    assert "dvc exp run -S adapter.rank=8" in page(made(config=config))
    assert "\ndvc repro\n" in page(made())


def test_a_run_without_readings_or_prediction_says_so() -> None:
    material = made(train=read_json(ROOT / "metrics/train.json") | {"predicted_bytes": None})
    cold = replace(material, scalars=material.scalars | {"by_regime": {}})
    shown = words(page(cold))
    assert "holds no prediction" in shown
    assert "all stand at the beginning of a conversation" in shown


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (1234567, "1,234,567"), (-0.0001, "0.000"), (-1.5, "−1.500"), (True, "True")]
)
def test_a_number_is_printed_as_its_column_is(value: Any, text: str) -> None:
    assert number(value) == text


def test_signs_small_probabilities_and_commands() -> None:
    assert (signed(-0.0001), signed(0.25), signed(-2)) == ("+0.000", "+0.250", "−2.000")
    assert (probability(0.00001), probability(0.05)) == ("< 0.0001", "0.0500")
    assert ticked("run `a <b>` now") == "run <code>a &lt;b&gt;</code> now"
    assert said("a\u202eb\tc\nd\x00") == "a\ufffdb\tc\nd\ufffd"


def test_the_gap_is_filled_once_and_no_value_can_open_another() -> None:
    html = page(made(str(GAP)))
    assert html.count(GAP) == 1
    assert "<p>here</p>" in filled(html, "<p>here</p>")
    with pytest.raises(DataError, match=r"no gap for what was measured"):
        filled("<p>", "here")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, html: str) -> Path:
    """A finished run whose training ran here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/report.html").write_text(html, encoding="utf-8")
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"train": {"cmd": "c"}, "align": {"cmd": "c"}}}))
    from twin.identity import fingerprint

    facts = {"wall_s": 12.5, "cpu_s": 20.0, "peak_rss_bytes": 2**30, "planned_peak_bytes": 2**29}
    inputs = {"cmd": "c", "deps": {}, "params": {}}
    write_json(facts_path("train", fingerprint(inputs)), facts | {"peak_array_bytes": 2**28, "resumed_after_update": 0})
    return tmp_path


def test_twin_report_adds_what_was_measured_and_leaves_the_stored_page_alone(project: Path, html: str) -> None:
    done = CliRunner().invoke(app, ["report"])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == (project / ".work/report.html").as_uri()
    shown = words((project / ".work/report.html").read_text(encoding="utf-8"))
    assert "predicted to need 512 MiB; MLX’s arrays took 256 MiB at their peak, 0.50 times as much" in shown
    assert "train 12.5 20.0 1.00 GiB" in shown
    assert (project / "metrics/report.html").read_text(encoding="utf-8") == html


def test_twin_report_opens_the_browser_or_says_that_there_is_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)) or len(opened) == 1)
    assert "no browser" not in CliRunner().invoke(app, ["report", "--open"]).output
    assert "no browser was found" in CliRunner().invoke(app, ["report", "--open"]).output
    assert opened == [(project / ".work/report.html").as_uri()] * 2


def test_a_run_without_a_report_is_refused(project: Path) -> None:
    (project / "metrics/report.html").unlink()
    done = CliRunner().invoke(app, ["report"])
    assert isinstance(done.exception, DataError)
    assert "metrics/report.html is missing in the working tree" in str(done.exception)


def test_a_stored_file_is_taken_by_its_hash_or_refused(tmp_path: Path) -> None:

    data = b"<!doctype html>"
    md5 = hashlib.md5(data).hexdigest()
    (tmp_path / md5).write_bytes(data)
    outs = {"metrics/report.html": md5}
    assert stored_file("HEAD", "metrics/report.html", outs, lambda one: tmp_path / one) == data
    with pytest.raises(DataError, match=r"HEAD: dvc.lock has no metrics/report.html"):
        stored_file("HEAD", "metrics/report.html", {}, lambda one: tmp_path / one)
    with pytest.raises(DataError, match=r"is not in DVC's cache. Bring it with `dvc fetch"):
        stored_file("HEAD", "metrics/report.html", outs, lambda _: None)
    (tmp_path / md5).write_bytes(b"other")
    with pytest.raises(DataError, match=r"is damaged"):
        stored_file("HEAD", "metrics/report.html", outs, lambda one: tmp_path / one)
