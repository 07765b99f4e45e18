"""What the context of a live reply costs: entities, facts and trajectory of ten turns, over 71,130 facts with one hub.

python -m bench.context [--messages 400] [--nearest 0.75] [--graph data/graph/demo.csv]

With `--nearest`, no name in a message is exact, and phrases are compared with all names.
"""

import argparse
import datetime
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

from bench.graph import ENTITIES, FACTS, HUB_SHARE, PREDICATES
from bench.machine import describe
from twin.config.augment import Scalar, Tags
from twin.context import NOTE, Asker, build_context
from twin.conversation import Turn
from twin.embedder.hashing import HashingEmbedder
from twin.files import write_json
from twin.graph import EmbeddedGraph, Triple
from twin.graph.load import load
from twin.prompt import PromptRecipe

RESULTS = Path("bench/results/context.json")
TARGET = {"p95_ms": 50}
WORDS = "deploy auth review kafka spore pipeline client credit search cache backup login export cron vector load".split
WINDOW = 10
Cost = dict[str, dict[str, float]]
"""By clock, wall or processor."""


def vocabulary(rng: random.Random) -> list[str]:
    """Return 20,000 names of one to three words."""
    words = [f"{word}{number}" for number in range(60) for word in WORDS()]
    made: dict[str, None] = {}
    while len(made) < ENTITIES:
        made[" ".join(rng.choices(words, k=rng.choice((1, 2, 2, 3))))] = None
    return list(made)


def facts(names: list[str], rng: random.Random) -> list[Triple]:
    made = dict[tuple[int, int], Triple]()
    while len(made) < FACTS:
        ends = 0 if rng.random() < HUB_SHARE else int(ENTITIES * rng.random() ** 2), rng.randrange(ENTITIES)
        made[ends] = Triple(names[ends[0]], f"p{rng.randrange(PREDICATES)}", names[ends[1]], rng.random())
    return list(made.values())


def conversation(names: list[str], rng: random.Random, slips: bool = False) -> list[Turn]:
    """Return ten turns of some forty words; the last names three entities, the hub now and then, or with slips none."""
    start = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    turns = []
    for place in range(WINDOW):
        said = rng.choices(WORDS(), k=34)
        for name in [rng.choice(names), rng.choice(names), names[0] if rng.random() < 0.2 else rng.choice(names)]:
            said.insert(rng.randrange(len(said)), f"{name}s" if slips else name)
        role = "partner" if (WINDOW - place) % 2 else "person"
        turns.append(Turn(str(place), role, f"{' '.join(said)}?", start + timedelta(minutes=place)))  # type: ignore[arg-type]
    return turns


def spread(taken_ms: list[float]) -> dict[str, float]:
    p95 = statistics.quantiles(taken_ms, n=20)[-1]
    return {"p50_ms": statistics.median(taken_ms), "p95_ms": p95, "min_ms": min(taken_ms), "max_ms": max(taken_ms)}


def timed(call: Callable[[list[Turn]], object], turns: list[Turn]) -> tuple[float, float]:
    """Return wall and processor milliseconds; on a shared machine only the second is the program's."""
    wall_s, processor_s = time.perf_counter(), time.process_time()
    call(turns)
    return (time.perf_counter() - wall_s) * 1e3, (time.process_time() - processor_s) * 1e3


def results_of(nearest: float | None, graph: Path | None) -> Path:
    parts = [RESULTS.stem, *(["nearest"] if nearest is not None else []), *([graph.stem] if graph else [])]
    return RESULTS.with_stem("_".join(parts))


def filled(folder: Path, table: Path | None, rng: random.Random) -> tuple[EmbeddedGraph, list[str]]:
    """Return a graph with a table's facts, or the made-up ones, and the names that messages are made of."""
    graph, names = EmbeddedGraph(folder / "graph.sqlite"), vocabulary(rng)
    if table is None:
        graph.add_all(facts(names, rng))
        return graph, names
    load(graph, [table])
    return graph, [name.replace("-", " ") for name in graph.vocabulary(ENTITIES)]


def measured(asker: Asker, embedder: HashingEmbedder, asked: list[list[Turn]]) -> dict[str, Cost]:
    """Print and return what each part of a context costs."""
    recipe = PromptRecipe(
        "You are Sam.", Tags.context, tuple(Scalar), 2, 3, WINDOW, 1, 5, 8, 3, dict(embedder.identity)
    )
    parts: dict[str, Callable[[list[Turn]], object]] = {
        "all": lambda turns: build_context(turns, recipe, embedder.embed, asker.ask),
        "graph": lambda turns: asker.ask(turns[-1].content),
        "prompt": lambda turns: build_context(turns, recipe, embedder.embed),
    }
    rows: dict[str, Cost] = {}
    print("| part | p50 ms | p95 ms | range ms |\n| --- | --- | --- | --- |")
    for part, call in parts.items():
        walls, processors = zip(*(timed(call, turns) for turns in asked), strict=True)
        rows[part] = {"wall": spread(list(walls)), "processor": spread(list(processors))}
        for kind, shown in rows[part].items():
            span = f"{shown['min_ms']:.1f}–{shown['max_ms']:.1f}"
            print(f"| {part}, {kind} | {shown['p50_ms']:.2f} | {shown['p95_ms']:.2f} | {span} |")
    return rows


def seconds(call: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    call()
    return time.perf_counter() - started_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=400)
    parser.add_argument("--nearest", type=float)
    parser.add_argument("--graph", type=Path, help="facts to ask instead of the made-up ones")
    given = parser.parse_args()
    rng, embedder = random.Random(0), HashingEmbedder(256)
    size = {"facts": FACTS, "entities": ENTITIES} if given.graph is None else {"graph": str(given.graph)}
    with tempfile.TemporaryDirectory() as folder:
        graph, names = filled(Path(folder), given.graph, rng)
        asker = Asker(graph, replace(NOTE, nearest=given.nearest))
        learnt_s = seconds(lambda: asker.learn(embedder.embed))
        asked = [conversation(names, rng, given.nearest is not None) for _ in range(given.messages)]
        rows = measured(asker, embedder, asked)
        found = sum(bool(asker.ask(turns[-1].content).edges) for turns in asked)
        long = " ".join(rng.choices([*names, *WORDS()], k=50_000))
        long_ms = seconds(lambda: asker.ask(long)) * 1e3
        graph.close()
    print(f"{found} of {given.messages} messages had facts; one of {len(long):,} characters took {long_ms:.0f} ms")
    if given.nearest is not None:
        size |= {"nearest": given.nearest, "learnt_s": learnt_s}
        print(f"{len(names):,} names were read and embedded in {learnt_s:.2f} s")
    result = size | {"messages": given.messages, "with_facts": found, "target": TARGET}
    result |= {"rows": rows, "long_message": {"characters": len(long), "ms": long_ms}}
    header = {"date": datetime.date.today().isoformat(), "machine": describe()}
    write_json(results_of(given.nearest, given.graph), header | result)


if __name__ == "__main__":
    main()
