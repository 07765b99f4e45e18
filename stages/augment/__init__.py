"""Every reply of the person with what led to it: turns.parquet → examples.jsonl, one training row a reply.

A row holds the messages that the model sees and learns (tag in the system line), and the reading behind the
tag. Both are functions of the turns before the reply only. Memory holds a few chunks of conversations, whatever
the number of turns.
"""

import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from stages.augment import pictures
from stages.augment.placebo import Deck, batches, rewritten
from stages.augment.rows import Part, chunked, written
from stages.augment.schedule import in_order
from stages.augment.tally import Tally
from twin.config.augment import AugmentConfig, Tags
from twin.config.load import load
from twin.embedder import embedder
from twin.errors import DataError
from twin.files import write_json, write_lines
from twin.progress import Eta, Progress
from twin.prompt import PromptRecipe
from twin.turns import Conversation, count_turns, read_turns

TURNS = Path("data/ingest/turns.parquet")
EXAMPLES = Path("data/augment/examples.jsonl")
RECIPE = Path("data/augment/recipe.json")
SCALARS = Path("data/augment/scalars.json")
METRICS = Path("metrics/augment.json")


def augment(
    conversations: Iterable[Conversation], config: AugmentConfig, turns: int, tally: Tally, scratch: Path
) -> Iterator[bytes]:
    """Yield the rows as lines of JSON, one for each reply of the person that something precedes, in the order given.

    Args:
        conversations: each in one piece.
        config: from params.yaml.
        turns: how many turns the conversations hold together.
        tally: counts what is seen, made and dropped.
        scratch: a folder for the rows that the placebo goes through twice.

    Raises:
        DataError: no reply of the person is left; the message counts why.
        ConfigError: `augment.scheduler` is no scheduler, or not one that works.
    """
    chunks = chunked(conversations, embedder(config.embedder))
    recipe = PromptRecipe.from_config(config)  # names the model's files, so they must have been fetched
    parts = in_order(partial(written, recipe=recipe), chunks, config.scheduler, turns)
    parts = _counted(parts, turns, tally)
    if recipe.tags is not Tags.shuffled:
        yield from (part.lines for part in parts)
        return
    deck = Deck(config.shuffle_seed)
    own = scratch / "own.jsonl"
    write_lines(own, _kept(parts, deck))
    given = in_order(partial(rewritten, recipe=recipe), batches(own, deck.dealt()), config.scheduler, turns)
    tally.seen_A_R_S_B[:] = 0
    for part in given:
        tally.seen_A_R_S_B += part.tally.seen_A_R_S_B
        yield part.lines


def _counted(parts: Iterable[Part], turns: int, tally: Tally) -> Iterator[Part]:
    progress, eta = Progress(), Eta(turns)
    for part in parts:
        tally.add(part.tally)
        done = tally.counts["turns"]
        progress.show(f"augment: {done:,} of {turns:,} turns, {eta.left(done)} left")
        yield part
    if not tally.counts["examples"]:
        raise DataError(_nothing(tally))
    progress.keep(f"augment: {tally.counts['examples']:,} examples of {tally.counts['turns']:,} turns")


def _kept(parts: Iterable[Part], deck: Deck) -> Iterator[bytes]:
    for part in parts:
        deck.add(part.ids, part.readings_N_S)
        yield part.lines


def _nothing(tally: Tally) -> str:
    counts, dropped = tally.counts, tally.dropped
    if not counts["replies"]:
        return f"{TURNS}: none of {counts['turns']} turns is the person's. Name the person's role in ingest.roles."
    return (
        f"{TURNS}: no reply of the person can be learned from: of {counts['replies']} in "
        f"{counts['conversations']} conversations {dropped['no_context']} open their conversation, {dropped['held']} "
        f"were held back by ingest and {dropped['empty']} are empty. Bring longer conversations, or see whether "
        "ingest.roles swaps the speakers."
    )


def main() -> None:
    """Run the stage."""
    config, tally = load(AugmentConfig), Tally()
    EXAMPLES.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=EXAMPLES.parent, prefix=".scratch.") as scratch:
        write_lines(EXAMPLES, augment(read_turns(TURNS), config, count_turns(TURNS), tally, Path(scratch)))
    write_json(RECIPE, PromptRecipe.from_config(config).to_json())
    write_json(METRICS, tally.metrics())
    write_json(SCALARS, tally.histograms())
    pictures.draw(tally.histograms(), SCALARS.parent)
