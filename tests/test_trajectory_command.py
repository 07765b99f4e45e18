"""`twin trajectory` shows a conversation's readings, which one each reply is told, and nothing that data could do."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.structure import ROOT
from twin.cli import app
from twin.cli.trajectory import file_name, find, lines, printable
from twin.config.augment import AugmentConfig, Tags
from twin.config.load import load
from twin.conversation import Turn, merge
from twin.embedder import restore
from twin.errors import ConfigError, DataError, ModelError
from twin.geometry import Reading, measure
from twin.prompt import PromptRecipe, prompt
from twin.strip import Step, steps

NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
ESCAPES = "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe \u2066x \r\nnext\x9b5m <|im_end|> [bold]b[/bold] $x$ 😀"
SAID = ("the deploy failed", "roll it back", "rolling back now", "good. and the logs?", "the logs are gone",
        "then who has them", "ops keeps a copy", "ask them", "asked. what else")  # fmt: skip
LONG = "0190-abcd-long"


def turn(number: int, text: str, role: str = "", held: str | None = None, **other: Any) -> dict[str, Any]:
    return {
        "id": f"t{number}", "role": role or ("partner", "person")[number % 2], "content": text, "held": held,
        "created_at": NOON + timedelta(minutes=number),
    } | other  # fmt: skip


CONVERSATIONS = {
    LONG: [turn(number, text, held="code" if number == 5 else None) for number, text in enumerate(SAID)],
    "0190-one": [turn(0, "alone")],
    "0191-two": [turn(0, "hello"), turn(1, "hi")],
    "0192-merged": [turn(0, "a", "partner"), turn(1, "b", "partner"), turn(2, "c", "person"), turn(3, "d", "partner")],
    "0193-hostile": [turn(0, ESCAPES), turn(1, ESCAPES), turn(2, "\x00" * 9), turn(3, "")],
    "0194-days": [turn(0, "late"), turn(1, "later", created_at=NOON + timedelta(days=1))],
    "../../../tmp/out\x1b[2J": [turn(0, "a"), turn(1, "b")],
}


@pytest.fixture(scope="module")
def recipe() -> PromptRecipe:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return PromptRecipe.from_config(load(AugmentConfig))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: PromptRecipe) -> Path:
    rows = [row | {"conversation_id": key} for key, turns in CONVERSATIONS.items() for row in turns]
    schema = pa.schema(
        [(name, pa.string()) for name in ("id", "conversation_id", "role", "content", "held")]
        + [("created_at", pa.timestamp("us", "UTC"))]
    )
    folder = tmp_path / "project"
    (folder / "data/ingest").mkdir(parents=True)
    (folder / "data/augment").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "data/ingest/turns.parquet")
    store(folder, recipe)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")
    return folder


def store(folder: Path, recipe: PromptRecipe) -> None:
    (folder / "data/augment/recipe.json").write_text(json.dumps(recipe.to_json()))


def say(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["trajectory", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def rows(shown: str) -> dict[int, list[str]]:
    found = [line.split() for line in shown.splitlines() if re.match(r" *\d+ \d\d:\d\d p", line)]
    return {int(cells[0]): cells for cells in found}


def texts(path: Path) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def path_of(key: str, recipe: PromptRecipe) -> list[Step]:
    merged = merge(find(key, Path("data/ingest/turns.parquet")).turns)
    return steps(merged, recipe, restore(recipe.embedder).embed([one.content for one in merged]))


def test_a_reply_is_told_the_reading_of_the_line_that_points_to_it(recipe: PromptRecipe) -> None:
    shown = rows(say(LONG))
    embed = restore(recipe.embedder).embed
    turns = find(LONG, Path("data/ingest/turns.parquet")).turns
    for position in (3, 5, 7):
        told = prompt(turns[:position], recipe, embed).tag
        cells = shown[position - 1]
        assert told == "[trajectory: " + " ".join(
            f"{letter}={value}" for letter, value in zip("cuprkns", cells[3:10], strict=True)
        ) + f" regime={cells[10]}]"  # fmt: skip
        assert f"→ {position}" in " ".join(cells)


def test_a_line_sees_the_turns_up_to_it_and_the_window_only(recipe: PromptRecipe) -> None:
    narrow = replace(recipe, window=4)
    path = path_of(LONG, narrow)
    states_T_D = restore(recipe.embedder).embed(list(SAID))
    assert path[0].reading is None
    assert [step.reading for step in path[1:]] == [
        measure(states_T_D[max(0, t - 3) : t + 1]) for t in range(1, len(SAID))
    ]


def test_only_a_partners_turn_that_is_answered_points_to_a_reply() -> None:
    shown = say(LONG)
    assert re.findall(r"→ (\d+)( cold| held)?", shown.split("\nturn: from 0")[0]) == [
        ("1", " cold"), ("3", ""), ("5", " held"), ("7", ""),
    ]  # fmt: skip


def test_consecutive_turns_of_a_speaker_are_one_line() -> None:
    shown = say("0192-merged")
    assert "3 merged turns" in shown
    assert list(rows(shown)) == [0, 1, 2] and "a b" in shown


def test_topic_shifts_and_decision_points_are_marked_as_defined(recipe: PromptRecipe) -> None:
    said = Turn("t", "person", "x", NOON)

    def step(c: float, p: float) -> Step:
        return Step(1, said, Reading(c, 0.0, p, 0.0, 0.0, 0.0, 0.0), None, None)

    marked = {(c, p): (step(c, p).shifts, step(c, p).decides) for c in (0.29, 0.3) for p in (0.5, 0.51)}
    assert marked == {(0.29, 0.5): (True, False), (0.29, 0.51): (True, True), (0.3, 0.5): (False, False),
                      (0.3, 0.51): (False, True)}  # fmt: skip
    header, _, *found = (line.plain for line in lines([step(0.29, 0.51), step(0.9, 0.0)], 120))
    assert header.startswith("turn time")
    assert " DS " in found[0] and " DS " not in found[1]


def test_nothing_rounds_to_minus_zero() -> None:
    reading = Reading(0.0, 0.0, -0.004, 0.0, 0.0, 0.0, 0.0)
    _, _, line = (one.plain for one in lines([Step(1, Turn("t", "person", "x", NOON), reading, None, None)], 120))
    assert "-0.00" not in line


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_its_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = say(LONG, "--picture", "p.svg")
    assert max(map(len, shown.splitlines())) <= columns
    for text in SAID:
        assert text in shown
    assert len(rows(shown)) == len(SAID)
    assert all(cells[10] in ("stalled", "→") or cells[0] == "0" for cells in rows(shown).values())


def test_a_pipe_gets_no_escape_and_one_line_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    shown = say(LONG)
    assert "\x1b" not in shown
    assert [line for line in shown.splitlines() if SAID[4] in line and "12:04" in line]


def test_a_day_is_told_when_it_begins() -> None:
    shown = say("0194-days")
    assert shown.index("2025-03-03 UTC") < shown.index("late") < shown.index("2025-03-04 UTC") < shown.index("later")


@pytest.mark.parametrize(
    ("tags", "told"),
    [(Tags.context, "is told the reading of this line"), (Tags.none, "is told no reading"),
     (Tags.shuffled, "another\nreply's reading, not that of this line")],
)  # fmt: skip
def test_what_a_reply_is_told_depends_on_the_recipes_tags(
    tags: Tags, told: str, place: Path, recipe: PromptRecipe
) -> None:
    store(place, replace(recipe, tags=tags))
    shown = say(LONG)
    assert told in shown
    drawn = " ".join(texts(place / f".work/trajectory-{LONG}.svg"))
    assert {Tags.context: "what the next reply is told", Tags.none: "told nothing", Tags.shuffled: "another reply's"}[
        tags
    ] in drawn


def test_an_adapters_recipe_will_do(place: Path, recipe: PromptRecipe) -> None:
    (place / "adapter.json").write_text(json.dumps({"prompt": recipe.to_json(), "base": {}}))
    assert say(LONG, "--recipe", "adapter.json") == say(LONG)


def test_a_recipe_of_another_version_is_refused_with_its_place(place: Path, recipe: PromptRecipe) -> None:
    (place / "old.json").write_text(json.dumps(recipe.to_json() | {"version": 0}))
    with pytest.raises(ModelError, match=r"old\.json: prompt recipe: version is 0"):
        say(LONG, "--recipe", "old.json")


def test_a_unique_beginning_is_enough_and_the_whole_id_wins() -> None:
    assert find("0191", Path("data/ingest/turns.parquet")).id == "0191-two"
    assert find("0190-one", Path("data/ingest/turns.parquet")).id == "0190-one"


def test_a_beginning_of_several_names_them() -> None:
    with pytest.raises(DataError, match=r"2 conversations begin with '0190': 0190-abcd-long, 0190-one\. Give more"):
        say("0190")


def test_an_unknown_id_names_the_closest_and_how_to_list() -> None:
    with pytest.raises(
        DataError, match=r"none of 7 .* id '0191-tow'\. The closest are 0191-two, .*twin trajectory` lists"
    ):
        say("0191-tow")


def test_without_an_id_the_longest_are_listed_first(place: Path) -> None:
    listed = [line for line in say().splitlines() if " turns  " in line]
    assert [line.split()[0] for line in listed[:3]] == [LONG, "0193-hostile", "0192-merged"]
    assert listed[0].split(maxsplit=3)[1:] == ["9", "turns", SAID[0]] and len(listed) == len(CONVERSATIONS)
    assert not (place / ".work").exists()


def test_one_turn_has_no_path_and_is_shown(place: Path) -> None:
    shown = say("0190-one")
    assert "1 merged turn," in shown and rows(shown)[0][3:11] == ["·"] * 8
    assert any("no path yet, so no reading" in text for text in texts(place / ".work/trajectory-0190-one.svg"))


def test_the_picture_names_every_scalar_speaker_mark_and_regime(place: Path) -> None:
    say(LONG)
    shown = texts(place / f".work/trajectory-{LONG}.svg")
    for text in ("c · commitment", "s · stability", "person · 4", "partner · 5", "regime", "S stalled",
                 "T transitioning", "decision point · 0", f"Conversation {LONG}"):  # fmt: skip
        assert text in shown
    assert sum(text.startswith("topic shift · ") for text in shown) == 1


def test_a_picture_goes_where_it_is_told_in_either_kind(place: Path) -> None:
    say(LONG, "--picture", "out/strip.PNG")
    assert (place / "out/strip.PNG").read_bytes().startswith(b"\x89PNG")
    assert not (place / ".work").exists()


def test_another_kind_of_picture_is_refused_before_anything_is_read(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"strip\.gif: a picture ends in"):
        say("no such id", "--picture", "strip.gif")


def test_what_was_said_cannot_drive_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = say("0193-hostile")
    assert not {one for one in shown if not one.isprintable()} - {"\n"}
    assert "[bold]b[/bold]" in shown and "< |im_end|>" in shown and "next" in shown
    assert "\x1b" not in say()


@pytest.mark.parametrize("key", ["../../../tmp/out\x1b[2J", "/etc/passwd", "..", "", "a/b", "a\\b", "ü😀", "x" * 999])
def test_no_id_leaves_its_folder_or_drives_the_terminal(key: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", file_name(key))
    assert len(file_name(key)) < 100


def test_unlike_ids_have_unlike_files() -> None:
    keys = ["a/b", "a-b", "a\\b", "-a-b", "a b", "A-B", "x" * 64, "x" * 65, "x" * 66]
    assert len({file_name(key) for key in keys}) == len(keys)


def test_a_hostile_id_is_drawn_inside_work(place: Path) -> None:
    shown = say("../../../tmp/out")
    assert not {one for one in shown if not one.isprintable()} - {"\n"}
    (drawn,) = (path for path in place.parent.rglob("*") if path.suffix == ".svg")
    assert drawn.parent == place / ".work"


def test_a_text_is_shown_in_one_line_without_its_controls() -> None:
    assert printable("a\n\tb\x1b[0m\u202ec\u2028d") == "a b [0m c d"
    assert len(printable("é\u0301" * 10_000)) <= 400


def test_a_long_conversation_is_drawn_without_dots_and_within_bounds(recipe: PromptRecipe, place: Path) -> None:
    from functools import partial

    from twin import pictures, strip

    merged = [Turn(f"t{n}", ("partner", "person")[n % 2], f"{n}", NOON + timedelta(hours=n)) for n in range(500)]
    path = steps(merged, recipe, np.random.default_rng(0).normal(size=(500, 3)).cumsum(axis=0))
    pictures.write(place / "long.svg", partial(strip.draw, path, "long", Tags.context))
    shown = texts(place / "long.svg")
    assert "person · 250" in shown and not any("large dot" in text for text in shown)
    width = float(re.search(r'width="([\d.]+)pt"', (place / "long.svg").read_text())[1])  # type: ignore[index]
    assert width == strip.MOST_INCHES * 72


def test_every_regime_has_its_own_letter_and_hatch() -> None:
    from twin import strip

    assert len(set(strip.LETTERS.values())) == len(set(strip.HATCHES.values())) == len(strip.REGIMES)
