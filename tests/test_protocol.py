"""Proves that the fixed prompts are ten, distinct and answerable, and that a broken file is refused by name."""

from pathlib import Path

import pytest

from twin.errors import DataError
from twin.protocol import protocol


def test_there_are_ten_prompts_with_distinct_ids_and_texts() -> None:
    prompts = protocol()
    assert len(prompts) == len({prompt.id for prompt in prompts}) == len({prompt.text for prompt in prompts}) == 10
    assert prompts[0].text == "The deploy failed with a 503 error on the staging server."
    assert prompts[-1].text == "We're running low on compute credits."


def test_every_anchor_is_lower_case_text_and_none_stands_twice() -> None:
    for prompt in protocol():
        assert all(anchor == anchor.lower().strip() and anchor.strip("*") for anchor in prompt.anchors)
        assert len(set(prompt.anchors)) == len(prompt.anchors), prompt.id


def test_a_prompt_without_anchors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text("- {id: one, text: Hello.}\n")
    with pytest.raises(DataError, match="prompt 1 has no anchors"):
        protocol(path)


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text("- {id: one, text: A., anchors: [a]}\n- {id: one, text: B., anchors: [b]}\n")
    with pytest.raises(DataError, match="id one is used by 2 prompts"):
        protocol(path)
