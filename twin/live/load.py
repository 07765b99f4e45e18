"""An adapter's folder and a graph → a live twin."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from twin.base import resolve
from twin.confidence import Calibration
from twin.context import Asker
from twin.embedder import restore
from twin.errors import ModelError
from twin.files import read_json
from twin.graph import FILE, URL_NAME, EmbeddedGraph, Graph, open_graph
from twin.graph.load import load as load_facts
from twin.live.engine import Engine, SpeakerEngine
from twin.live.gates import Gates
from twin.live.settings import Settings
from twin.live.twin import LiveTwin
from twin.model import attach, load_base
from twin.prompt import PromptRecipe
from twin.reply import Speaker

ADAPTER: Final = Path("models/adapter")
EVALUATION: Final = Path("data/evaluate")
NAME: Final = "twin"
TABLES: Final = (".csv", ".jsonl")


def load_twin(
    adapter: Path = ADAPTER,
    *,
    base: str | None = None,
    embedder: str | None = None,
    graph: str | None = None,
    settings: Settings | None = None,
    evaluation: Path = EVALUATION,
) -> LiveTwin:
    """Load what answers: base, adapter, recipe, graph, calibration.

    Args:
        adapter: folder with recipe.json.
        base: folder of the base, where it lies outside the repository.
        embedder: folder of the embedder's model, where it came from one.
        graph: as for `graph_at`.
        settings: the shipped ones by default.
        evaluation: folder with confidence.json; where it has none, no reply has a confidence and none goes unseen.

    Raises:
        ModelError: a file is missing or does not belong to the others.
        DataError: the graph's file is none.
    """
    recipe, engine = load_engine(adapter, base)
    return assemble(
        recipe,
        engine,
        embedder=embedder,
        graph=graph_at(graph),
        settings=settings or Settings.load(),
        evaluation=evaluation,
    )


def load_engine(adapter: Path, base: str | None = None) -> tuple[PromptRecipe, SpeakerEngine]:
    """Load a base with an adapter beside it, and the adapter's recipe.

    Raises:
        ModelError: a file is missing or does not belong to the others.
    """
    if not (adapter / "recipe.json").exists():
        raise ModelError(f"{adapter} holds no adapter. Train one with `dvc repro`, or name its folder: --adapter PATH.")
    stored = read_json(adapter / "recipe.json")
    recipe = PromptRecipe.from_json(stored["prompt"])
    model = load_base(resolve(stored["base"], base))
    run_id = stored["run"]["id"]
    title = f"{stored['base']['id']} with the adapter of run {run_id[:12]}"
    return recipe, SpeakerEngine(model, Speaker(model), attach(model, adapter), name=NAME, run_id=run_id, title=title)


def assemble(
    recipe: PromptRecipe,
    engine: Engine,
    *,
    embedder: str | None,
    graph: Graph | None,
    settings: Settings,
    evaluation: Path = EVALUATION,
) -> LiveTwin:
    """Put a twin together around an engine; the arguments are those of `load_twin`."""
    return LiveTwin(
        recipe,
        restore(recipe.embedder, embedder).embed,
        engine,
        Gates(settings.gates),
        asker=Asker(graph, settings.facts) if graph else None,
        fact_characters=settings.facts.fact_characters,
        calibration=Calibration.read(evaluation),
        novel_quantile=settings.gates.novel_quantile,
    )


def graph_at(place: str | None, environ: Mapping[str, str] = os.environ) -> Graph | None:
    """Open the graph that facts come from.

    Args:
        place: an address, an SQLite file, or a CSV or JSONL of facts, which is read into memory; None takes
            GRAPH_KERNEL_URL, else `.work/graph.sqlite` where it is there, else no graph; `none` is no graph.
        environ: the environment.

    Raises:
        ConfigError: the address is not usable.
        DataError: the file is no graph, or its facts are not usable.
    """
    if place == "none":
        return None
    if place is None:
        return open_graph(environ) if environ.get(URL_NAME) or FILE.exists() else None
    if place.startswith(("http://", "https://")):
        return open_graph(environ, place)
    if Path(place).suffix in TABLES:
        table = EmbeddedGraph()
        load_facts(table, [Path(place)])
        return table
    return open_graph({**environ, URL_NAME: ""}, file=Path(place))
