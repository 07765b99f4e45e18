"""`twin trajectory CONVERSATION_ID`: one conversation → its readings turn by turn, as a table and a picture."""

import hashlib
import heapq
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twin.errors import DataError, ModelError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from twin.prompt import PromptRecipe
    from twin.strip import Step
    from twin.turns import Conversation

FOLDER: Final = Path(".work")
SHOWN: Final = 10
"""Conversations in the list of the longest."""
CLOSEST: Final = 3
PIPED_COLUMNS: Final = 120
ONE_LINE_COLUMNS: Final = 110
"""From here on what was said stands in the line of its numbers, below in a line of its own."""
FIRST_CHARACTERS: Final = 400
"""Of a turn, looked at for the table."""
WORDS_CHARACTERS: Final = 80
INDENT_COLUMNS: Final = 11
WIDTHS: Final = (4, 4, 5, 4, 4, 4, 4)
"""Of the scalars; transition pressure has a sign."""

HEADER: Final = "turn time  speaker    c    u     p    r    k    n    s regime           reply    first words"
LEGEND: Final = (
    "turn: from 0, as `position` in examples.jsonl. Its reading sees this turn and those before it, none after.\n"
    "D: decision point (p > 0.5). S: topic shift (c < 0.3). held: ingest held the reply back, it is no example."
)
TOLD: Final = {
    "context": "→ n: reply n is told the reading of this line ({scalars}), the last step of the path that ends before\n"
    "it; cold: fewer than {cold} turns precede it, it is told cold-start.",
    "none": "→ n: reply n answers this line. The recipe's tags are `none`: it is told no reading.",
    "shuffled": "→ n: reply n answers this line. The recipe's tags are `shuffled`, the placebo: it is told another\n"
    "reply's reading, not that of this line; cold: fewer than {cold} turns precede it, it is told cold-start.",
}
"""What a reply is told, by the recipe's tags."""


def trajectory(
    conversation: Annotated[
        str | None,
        typer.Argument(metavar="[CONVERSATION_ID]", help="Or its beginning; without it, the longest are listed."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Where the picture goes, .svg or .png.  [default: .work/trajectory-ID.svg]")
    ] = None,
    turns: Annotated[Path, typer.Option(help="Turns that `ingest` wrote.")] = Path("data/ingest/turns.parquet"),
    recipe: Annotated[Path, typer.Option(help="Recipe of `augment`, or of an adapter.")] = Path(
        "data/augment/recipe.json"
    ),
    embedder: Annotated[
        str | None, typer.Option(help="Folder of the embedder's model, if the recipe's came from a folder.")
    ] = None,
) -> None:
    """Show what the geometry reads in a conversation, turn by turn, and what each reply is told of it."""
    console = _console()
    if conversation is None:
        _list(console, turns)
        return
    from twin import pictures, strip
    from twin.conversation import merge
    from twin.embedder import restore

    if picture is not None:
        pictures.require_kind(picture)
    settings = read_recipe(recipe)
    found = find(conversation, turns)
    merged = merge(found.turns)
    states_T_D = restore(settings.embedder, embedder).embed([turn.content for turn in merged])
    path = strip.steps(merged, settings, states_T_D)
    _say(console, found.id, path, settings)
    place = picture or FOLDER / f"trajectory-{file_name(found.id)}.svg"
    pictures.write(place, partial(strip.draw, path, f"Conversation {printable(found.id)[:64]}", settings.tags))
    console.print(f"\nPicture: {place}", markup=False)


def read_recipe(path: Path) -> "PromptRecipe":
    """Read the recipe of `augment`, or the prompt's part of an adapter's.

    Raises:
        DataError: the file is missing or is not JSON.
        ModelError: it holds no recipe of this version.
    """
    from twin.files import read_json
    from twin.prompt import PromptRecipe

    stored = read_json(path)
    try:
        return PromptRecipe.from_json(stored["prompt"] if isinstance(stored, dict) and "prompt" in stored else stored)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def find(wanted: str, turns: Path) -> "Conversation":
    """Return the conversation of this id, or the only one whose id begins so.

    Raises:
        DataError: there is none, or there are several.
    """
    from twin.turns import read_turns

    ids, begun = list[str](), list[str]()
    first = None
    for conversation in read_turns(turns):
        if conversation.id == wanted:
            return conversation
        ids.append(conversation.id)
        if conversation.id.startswith(wanted):
            begun.append(conversation.id)
            first = first or conversation
    if first is None:
        raise DataError(_unknown(wanted, ids, turns))
    if len(begun) > 1:
        raise DataError(
            f"{turns}: {len(begun):,} conversations begin with {printable(wanted)!r}: {_few(begun)}. "
            "Give more of the id."
        )
    return first


def _unknown(wanted: str, ids: Sequence[str], turns: Path) -> str:
    from rapidfuzz import fuzz, process

    closest = [name for name, _, _ in process.extract(wanted, ids, scorer=fuzz.ratio, limit=CLOSEST)]
    near = f"The closest are {_few(closest)}. " if closest else ""
    return (
        f"{turns}: none of {len(ids):,} conversations has the id {printable(wanted)!r}. {near}"
        "`twin trajectory` lists the longest."
    )


def _few(ids: Sequence[str]) -> str:
    return ", ".join(map(printable, ids[:5])) + (" …" if len(ids) > 5 else "")


def printable(text: str) -> str:
    """Return the start of `text` in one line, as a terminal or a picture may show it: no control characters.

    What was said is data: neither an escape sequence nor a change of writing direction may act.
    """
    from twin.text import neutralise

    start = neutralise(text[:FIRST_CHARACTERS])
    return " ".join("".join(one if one.isprintable() else " " for one in start).split())


def file_name(conversation_id: str) -> str:
    """Return a name that stays in its folder; unlike ids have unlike names."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", conversation_id)[:64].strip("-")
    if safe and safe == conversation_id:
        return safe
    digest = hashlib.sha256(conversation_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe}-{digest}".lstrip("-")


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_COLUMNS
    return console


def _list(console: "Console", turns: Path) -> None:
    from twin.conversation import merge
    from twin.turns import read_turns

    sized = ((len(merge(one.turns)), one) for one in read_turns(turns))
    longest = heapq.nlargest(SHOWN, sized, key=lambda item: item[0])
    width = max((len(printable(one.id)) for _, one in longest), default=0)
    console.print(f"The {len(longest)} longest conversations of {turns}; turns are merged by speaker.", markup=False)
    for size, one in longest:
        line = f"  {printable(one.id):{width}}  {size:>5,} turns  {printable(one.turns[0].content)}"
        console.print(line, markup=False, no_wrap=True, overflow="ellipsis", crop=True)
    console.print("\ntwin trajectory CONVERSATION_ID   the table and the picture of one; a unique beginning will do")


def _say(console: "Console", conversation_id: str, path: Sequence["Step"], recipe: "PromptRecipe") -> None:
    counted = f"{len(path):,} merged turn{'s' if len(path) > 1 else ''}"
    console.print(f"Conversation {printable(conversation_id)}: {counted}, window {recipe.window}\n", markup=False)
    for line in lines(path, console.width):
        console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    scalars = " ".join(scalar.value for scalar in recipe.scalars) or "the regime only"
    told = TOLD[recipe.tags.name].format(scalars=scalars, cold=recipe.cold_turns)
    console.print(f"\n{LEGEND}\n{told}", markup=False)


def lines(path: Sequence["Step"], columns: int) -> Iterator["Text"]:
    """Yield the table, line by line: what was said stands behind the numbers, or below them where it is narrow."""
    from rich.text import Text

    wide = columns >= ONE_LINE_COLUMNS
    yield Text(HEADER if wide else HEADER.removesuffix("first words").rstrip(), style="bold")
    day = None
    for step in path:
        if step.turn.created_at.date() != day:
            day = step.turn.created_at.date()
            yield Text(f"{day} UTC", style="dim")
        said = Text(printable(step.turn.content)[:WORDS_CHARACTERS], style="" if step.turn.role == "person" else "dim")
        line = _numbers(step)
        if wide:
            yield line.append(" ").append_text(said)
        else:
            line.rstrip()
            yield line
            yield Text(" " * INDENT_COLUMNS).append_text(said)


def _numbers(step: "Step") -> "Text":
    from rich.text import Text

    from twin import pictures

    turn, reading = step.turn, step.reading
    regime = reading.regime if reading else "·"
    values = (
        [f"{round(round(value, 9), 2) + 0.0:.2f}" for value in vars(reading).values()]
        if reading
        else ["·"] * len(WIDTHS)
    )
    scalars = " ".join(f"{value:>{width}}" for value, width in zip(values, WIDTHS, strict=True))
    line = Text(f"{step.number:>4} {turn.created_at:%H:%M} {turn.role:7} {scalars} ")
    line.append(f"{regime:13}", style=pictures.REGIME_COLOURS.get(regime, ""))
    line.append(f" {'D' if step.decides else ' '}{'S' if step.shifts else ' '}", style="bold")
    return line.append(f" {_reply(step):8}")


def _reply(step: "Step") -> str:
    if step.reply is None or step.prompt is None:
        return ""
    note = " held" if step.reply.held else "" if step.prompt.reading else " cold"
    return f"→ {step.number + 1}{note}"
