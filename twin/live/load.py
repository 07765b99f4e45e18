"""An adapter's folder and a graph → a live twin."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twin.adapter import RECIPE_FILE
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
from twin.live.routes import DEFAULT, predicates, read_routes, routed
from twin.live.settings import Settings, VoiceSettings
from twin.live.twin import LiveTwin
from twin.live.voices import Voices, beside
from twin.model import attach, load_base
from twin.prompt import PromptRecipe
from twin.reply import Speaker

ADAPTER: Final = Path("models/adapter")
EVALUATION: Final = Path("data/evaluate")
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
    told = settings or Settings.load()
    recipe, engine = load_voices(adapter, base, told.voices)
    return assemble(recipe, engine, embedder=embedder, graph=graph_at(graph), settings=told, evaluation=evaluation)


def load_voices(adapter: Path, base: str | None, settings: VoiceSettings) -> tuple[PromptRecipe, Voices]:
    """Load a base with all adapters of the settings beside it, and the recipe that they share.

    Raises:
        ModelError: a file is missing, or an adapter is of another base or recipe than the default one.
    """
    folders = {DEFAULT: adapter, **{name: Path(folder) for name, folder in settings.adapters.items()}}
    stored = {name: stored_recipe(folder) for name, folder in folders.items()}
    first = stored[DEFAULT]
    for name, one in stored.items():
        for part in ("base", "prompt"):
            if one[part] != first[part]:
                raise ModelError(
                    f"{folders[name]}: the adapter {name!r} has another {part} than {adapter} (recipe.json). Adapters "
                    "that answer side by side are trained on one base, with one prompt."
                )
    model = load_base(resolve(first["base"], base))
    voices = beside(model, {name: (stored[name]["run"]["id"], folder) for name, folder in folders.items()})
    return PromptRecipe.from_json(first["prompt"]), Voices(model, voices, settings.kept_tokens)


def stored_recipe(adapter: Path) -> dict[str, Any]:
    """Read what an adapter was trained with.

    Raises:
        ModelError: the folder holds no adapter.
    """
    if not (adapter / RECIPE_FILE).exists():
        raise ModelError(f"{adapter} holds no adapter. Train one with `dvc repro`, or name its folder: --adapter PATH.")
    stored: dict[str, Any] = read_json(adapter / RECIPE_FILE)
    return stored


def load_engine(adapter: Path, base: str | None = None) -> tuple[PromptRecipe, SpeakerEngine]:
    """Load a base with an adapter beside it, and the adapter's recipe.

    Raises:
        ModelError: a file is missing or does not belong to the others.
    """
    stored = stored_recipe(adapter)
    recipe = PromptRecipe.from_json(stored["prompt"])
    model = load_base(resolve(stored["base"], base))
    run_id = stored["run"]["id"]
    title = f"{stored['base']['id']} with the adapter of run {run_id[:12]}"
    return recipe, SpeakerEngine(
        model, Speaker(model), attach(model, adapter), name=DEFAULT, run_id=run_id, title=title
    )


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
    routes = read_routes(settings.voices.routes, engine.names) if len(engine.names) > 1 else []
    embed = restore(recipe.embedder, embedder).embed
    asker = Asker(graph, settings.facts, predicates(routes)) if graph else None
    if asker:
        asker.learn(embed)
    return LiveTwin(
        recipe,
        embed,
        engine,
        Gates(settings.gates),
        asker=asker,
        fact_characters=settings.facts.fact_characters,
        calibration=Calibration.read(evaluation),
        novel_quantile=settings.gates.novel_quantile,
        route=lambda context: routed(context, routes),
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
