"""The pages tell the truth: every command they show is executed somewhere, and would be understood.

`tests/shrunk_demo.py` and `tests/shrunk_queues.py` execute them; here nothing runs.
"""

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from stages.promote.document import SOURCES
from tests.documented import BY_TEST, EXECUTED, PAGES, QUEUES, fenced, overrides, shown, steps
from tests.structure import ROOT
from twin.cli import app
from twin.config.compose import checked, compose
from twin.errors import ConfigError
from twin.live.settings import Settings

TWIN = get_command(app)
Wrong = typer.BadParameter.__mro__[1]  # UsageError, of whichever click typer brings
SHOWN = shown()
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
STEPS = [(page, step) for command, pages in SHOWN.items() for page in pages for step in steps(command)]
PROSE = {page: re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S)) for page, text in TEXTS.items()}


def of(program: str) -> list[list[str]]:
    found = [step[1:] for _, step in STEPS if step[0] == program]
    return [list(one) for one in dict.fromkeys(map(tuple, found))]


def understood(words: list[str]) -> None:
    """Parse the words of a `twin` command as it would.

    Raises:
        KeyError: it knows no such command.
        UsageError: it knows no such option or value, or wants more.
    """
    command, rest = TWIN, [*words]
    while isinstance(command, TyperGroup):
        assert rest, words
        command = command.commands[rest.pop(0)]
    command.make_context(str(command.name), rest)


def alternatives(override: str) -> list[str]:
    """Return the values that a queue is given, one by one."""
    key, _, values = override.partition("=")
    return [f"{key}={value}" for value in values.split(",")]


def packed(runs: list[list[str]]) -> list[list[str]]:
    """Return as few runs with all overrides: those that set different things fit into one, which saves most of 20 s."""
    packs: list[dict[str, str]] = []
    for run in runs:
        given = {one.partition("=")[0]: one for one in run}
        into = next((pack for pack in packs if not conflicting(pack, given)), None)
        if into is None:
            packs.append(into := {})
        into |= given
    return [list(pack.values()) for pack in packs]


def conflicting(pack: dict[str, str], given: dict[str, str]) -> bool:
    """Whether both set one thing to different values."""
    return any(pack.get(key, one) != one for key, one in given.items())


def composed(given: list[str]) -> None:
    checked(yaml.safe_load(compose(ROOT / "conf", given)))


def test_every_shown_command_is_executed() -> None:
    lists = (EXECUTED.keys(), QUEUES.keys(), BY_TEST.keys())
    told = set().union(*lists)
    assert sorted(SHOWN.keys() - told) == [], "no test executes it: put it into tests/documented.py"
    assert sorted(told - SHOWN.keys()) == [], "no page shows it any more"
    assert sum(map(len, lists)) == len(told), "a command is in two lists"


@pytest.mark.parametrize(("command", "place"), BY_TEST.items(), ids=lambda one: one)
def test_what_is_left_to_another_test_is_executed_there_as_it_is_shown(command: str, place: str) -> None:
    file, _, name = place.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    held = text.splitlines() if not name else re.findall(r'said\("([^"]+)"', source_of(text, name))
    assert command in held


def source_of(text: str, name: str) -> str:
    found = next(one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef) and one.name == name)
    return str(ast.get_source_segment(text, found))


def test_only_known_programs_are_shown() -> None:
    assert {step[0] for _, step in STEPS} <= {"twin", "dvc", "make", "git", "gto", "."}


@pytest.mark.parametrize("words", of("twin"), ids=" ".join)
def test_twin_understands_what_is_shown(words: list[str]) -> None:
    understood(words)


@pytest.mark.parametrize(
    ("words", "why"),
    [("compare", "Missing parameter"), ("plan --bugdet 3", "No such option"), ("rate --mode x", "is not one of")],
)
def test_what_twin_does_not_understand_is_seen(words: str, why: str) -> None:
    with pytest.raises(Wrong, match=why):
        understood(words.split())


def test_dvc_understands_what_is_shown() -> None:
    from dvc.cli.parser import get_main_parser

    parser: argparse.ArgumentParser = get_main_parser()
    for words in of("dvc"):
        assert parser.parse_args(words).func, words


def test_every_shown_make_target_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {words[0] for words in of("make")} <= set(targets)


def test_what_an_experiment_is_given_composes() -> None:
    given = [overrides(step) for _, step in STEPS if step[:2] == ["dvc", "exp"]]
    prose = [overrides(shlex.split(words)) for found in PROSE.values() for words in found if "-S " in words]
    values = [[alternatives(one) for one in some] for some in [*given, *prose] if some]
    runs = [[one[min(turn, len(one) - 1)] for one in some] for some in values for turn in range(max(map(len, some)))]
    assert len(runs) > 20
    for one in packed(runs):
        composed(one)
    with pytest.raises(ConfigError, match="adapter.rnak"):
        composed(["adapter.rnak=8"])


def test_what_asks_the_server_is_python() -> None:
    blocks = [block for text in TEXTS.values() for block in fenced(text, "python")]
    assert len(blocks) > 1
    for block in blocks:
        compile(block, "page", "exec")
        assert "http://127.0.0.1:8000/v1" in block, "tests/reader.py puts its server's address there"


def test_every_preset_that_a_page_names_exists() -> None:
    named = {name for text in TEXTS.values() for name in re.findall(r"\+experiment=(\w+)", text)}
    assert [name for name in sorted(named) if not (ROOT / f"conf/experiment/{name}.yaml").exists()] == []


def test_every_twin_command_in_prose_exists() -> None:
    named = [words.split()[1:] for found in PROSE.values() for words in found if words.startswith("twin ")]
    assert isinstance(TWIN, TyperGroup)
    assert len(named) > 3
    assert sorted({words[0] for words in named} - TWIN.commands.keys()) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_path_of_a_page_leads_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#:]+)\)", TEXTS[page]) if not link.startswith("http")]
    paths = [words for words in PROSE[page] if re.fullmatch(r"(conf|twin|stages|tools|bench)/[\w/.-]+", words)]
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert missing == []


def test_there_are_five_pages_beside_the_log_and_the_readme_leads_to_each() -> None:
    pages = PAGES[1:]
    assert len(pages) == 5
    assert [page for page in pages if f"]({page})" not in TEXTS["README.md"]] == []
    assert [page for page in PAGES if len(TEXTS[page].splitlines()) > 150] == []


def test_the_settings_that_are_shown_are_settings(tmp_path: Path) -> None:
    (block,) = fenced(TEXTS["docs/live.md"], "yaml")
    (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
    told = Settings.load(tmp_path / "mine.yaml")
    assert (told.gates.auto_from, len(told.voices.routes)) == (0.95, 2)


def test_the_gates_that_are_told_are_those_of_the_decision() -> None:
    table = TEXTS["docs/judging.md"].split("## The gates")[1].split("```")[0]
    told = [name for cell in re.findall(r"^\| ([a-z_, ]+) \|", table, flags=re.MULTILINE) for name in cell.split(", ")]
    assert [name for name in told if name != "gate"] == list(SOURCES)


def test_the_thresholds_that_are_told_are_those_of_conf() -> None:
    told = yaml.safe_load((ROOT / "conf/promote/standard.yaml").read_text(encoding="utf-8"))
    page = TEXTS["docs/judging.md"]
    for words in (
        f"{told['protocol_min']:.1f} over the ten prompts",
        f"over {told['test_prompts_min']} test prompts",
        f"+{told['bits_min']:.2f} bits a token",
        f"{told['gap_min']:.0%} closed".replace("%", " %"),
    ):
        assert words in page, words
