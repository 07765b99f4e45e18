"""The adapter's model card: the run's own metrics → a README as the Hugging Face hub reads it.

Numbers and sentences of the run only: nothing that the person or a partner wrote stands in it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from stages.report.material import KINDS, Material, Tree, at
from stages.report.measures import measures
from stages.report.verdict import verdict
from twin.errors import DataError
from twin.files import read_text
from twin.page.sheet import number

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

TEMPLATE: Final = Path(__file__).with_name("card.md")
LICENCES: Final = Path(__file__).with_name("licences.yaml")
UNNAMED: Final = {"license": "other", "license_name": "see-the-base"}
RESULTS: Final = (
    ("rubric_test.all.X", "rubric", "rubric 0–3, test prompts"),
    ("protocol10.X", "rubric-ten", "rubric 0–3, ten fixed prompts"),
    (
        "likelihood.all.bits_per_token_gain_over_B1",
        "bits-per-token-gain",
        "bits per token gained over the prompted base",
    ),
    ("context_choice.X", "accuracy", "the real reply found among four"),
)
"""Where a result stands, its kind and its name, for the hub's table."""
DATASET: Final[dict[str, Any]] = {
    "dataset_type": "private",
    "dataset_name": "held-out replies of one person, not published",
}


def card(material: Material) -> str:
    """Return the card.

    Raises:
        DataError: the run says something that the hub's card tools do not take.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    body = environment.from_string(read_text(TEMPLATE)).render(
        base=material.recipe["base"],
        kind=KINDS[material.metrics["train"]["adapter"]["kind"]],
        adapter=material.metrics["train"]["adapter"] | {"keys": material.recipe["adapter"]["keys"]},
        verdict=verdict(material.metrics["decision"]),
        run_id=material.metrics["decision"]["run"]["id"],
        train=material.metrics["train"],
        ingest=material.metrics["ingest"],
        parts=material.metrics["split"]["parts"],
        measures=measures(material.metrics["evaluate"]),
        prompt=material.recipe["prompt"],
    )
    return f"---\n{data(material).to_yaml(line_break=chr(10))}\n---\n\n{body}"


def data(material: Material) -> "ModelCardData":
    """Return the card's head.

    Raises:
        DataError: the hub's card tools refuse it.
    """
    from huggingface_hub import ModelCardData

    base, train = material.recipe["base"], material.metrics["train"]
    run_id = material.metrics["decision"]["run"]["id"]
    results = _results(material.metrics["evaluate"])
    try:
        return ModelCardData(
            base_model=base["id"],
            base_model_relation="adapter",
            library_name="mlx",
            pipeline_tag="text-generation",
            tags=["mlx", train["adapter"]["kind"], "cognitive-twin", "text-generation", "personal"],
            model_name=f"twin-{run_id[:12]}",
            eval_results=results or None,
            ignore_metadata_errors=False,
            **licence(base["id"]),
        )
    except ValueError as error:
        raise DataError(f"models/card/README.md: the hub's card tools refuse its head: {error}") from error


def licence(base_id: str) -> dict[str, Any]:
    """Return what the head says of the licence: that of the base, which the adapter is derived from."""
    known: dict[str, dict[str, Any]] = yaml.safe_load(read_text(LICENCES))
    return known.get(base_id, UNNAMED)


def _results(evaluate: Tree) -> "list[EvalResult]":
    from huggingface_hub import EvalResult

    found: list[tuple[Any, str, str]] = [(at(evaluate, f"{path}.value"), kind, name) for path, kind, name in RESULTS]
    return [
        EvalResult(
            task_type="text-generation", metric_type=kind, metric_name=name, metric_value=round(value, 4), **DATASET
        )
        for value, kind, name in found
        if value is not None
    ]
