"""The model card is written from the run alone, reads by the hub's own tools, and holds nothing that anybody said."""

import re

import pytest
import yaml

from stages.report.card import LICENCES, card, licence
from tests.report_run import made
from tests.structure import ROOT
from twin.card import fused
from twin.files import read_json, read_text
from twin.page.sheet import number

EVALUATE = read_json(ROOT / "metrics/evaluate.json")


@pytest.fixture(scope="module")
def text() -> str:
    return card(made("a private reply"))


def test_the_hubs_tools_read_the_head(text: str) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(text, ignore_metadata_errors=False).data
    assert data.base_model == "mlx-community/Qwen2.5-3B-Instruct-4bit"
    assert data.to_dict()["base_model_relation"] == "adapter"
    assert (data.library_name, data.pipeline_tag) == ("mlx", "text-generation")
    assert (data.license, data.license_name) == ("other", "qwen-research")
    assert {"mlx", "lora", "cognitive-twin"} <= set(data.tags or [])
    results = {one.metric_type: one.metric_value for one in data.eval_results or []}
    assert results["rubric"] == round(EVALUATE["rubric_test"]["all"]["X"]["value"], 4)
    assert results["accuracy"] == round(EVALUATE["context_choice"]["X"]["value"], 4)


def test_the_head_survives_the_hubs_tools_unchanged(text: str) -> None:
    from huggingface_hub import ModelCard

    assert str(ModelCard(text)) == text


def test_it_says_what_the_run_says_and_what_it_is_not_for(text: str) -> None:
    flat = " ".join(text.split())
    ingest = made().metrics["ingest"]
    for piece in (
        "# A twin: LoRA adapter of run 000000000000",
        "**HOLD.** The twin is not promoted",
        "It is not for impersonating the person to anybody else.",
        "| protocol | ✗ failed | Rubric mean 1.50 over the ten prompts",
        f"{number(ingest['rows']['in'])} rows of one synthetic export",
        "mlx_lm.generate --model mlx-community/Qwen2.5-3B-Instruct-4bit --adapter-path ADAPTER",
        "Not known: gap.",
    ):
        assert piece in flat, piece


def test_no_text_of_anybody_stands_in_it(text: str) -> None:
    for said in ("a private reply", "Question 0", "secretly", "the person says", "X says"):
        assert said not in text.partition("# A twin")[2].replace("recipe.json", ""), said


def test_its_tables_are_whole(text: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}
        assert len(columns) == 1, table


def test_a_run_that_measured_nothing_has_a_card_without_results() -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(card(made(evaluate={})), ignore_metadata_errors=False).data
    assert data.eval_results is None


def test_every_base_of_conf_has_a_licence_and_another_one_is_called_unknown() -> None:
    bases = [yaml.safe_load(path.read_text())["id"] for path in (ROOT / "conf/model").glob("*.yaml")]
    known = yaml.safe_load(read_text(LICENCES))
    assert sorted({*bases} - {"local"}) == sorted(known)
    assert licence("local") == {"license": "other", "license_name": "see-the-base"}


def test_a_fused_model_is_no_adapter_of_its_base_and_loads_alone(text: str) -> None:
    from huggingface_hub import ModelCard

    alone = fused(text)
    assert ModelCard(alone).data.to_dict()["base_model_relation"] == "finetune"
    assert "--adapter-path" not in alone
    assert "mlx_lm.generate --model MODEL --prompt" in alone and "where MODEL is the folder" in alone
