"""Options that several commands take: what a live twin is put together from."""

from pathlib import Path
from typing import Annotated

import typer

AdapterFolder = Annotated[Path, typer.Option("--adapter", help="Adapter folder with its recipe.json.")]
BaseFolder = Annotated[
    str | None,
    typer.Option("--base", help="Folder of the base model, for a base that lies outside the repository."),
]
EmbedderFolder = Annotated[
    str | None,
    typer.Option("--embedder", help="Folder of the embedder's model, if the adapter learned with one from a folder."),
]
GraphPlace = Annotated[
    str | None,
    typer.Option(
        "--graph", help="Address, SQLite file, or CSV/JSONL of facts; else GRAPH_KERNEL_URL, .work/graph.sqlite; none."
    ),
]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="YAML that changes twin/live/settings.yaml.")]
ADAPTER = Path("models/adapter")
