"""Base and adapter as one model: adapter folder → an MLX model folder that needs neither, if it answers as they do.

What an adapter adds to a weight is often smaller than the step between two 4-bit values, and is then rounded away. So
a fused model is measured before it is put in place.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import mlx.core as mx
from mlx.utils import tree_flatten

from twin.adapter import RECIPE_FILE
from twin.base import WEIGHTS, model_files, resolve
from twin.card import CARD, README, card_of, fused, put
from twin.conversation import Turn
from twin.errors import DataError, ModelError
from twin.files import read_json, read_jsonl, staged_folder, write_text
from twin.fuse.agreement import Distance, Twin, measure, open_streamed
from twin.fuse.layers import fuse, quantization
from twin.fuse.shards import INDEX, write_weights
from twin.model import load_base
from twin.prompt import PromptRecipe, prompt
from twin.protocol import protocol
from twin.tokens import fit, prompt_tokens

VALID = Path("data/split/valid.jsonl")
PROBES = 12
LOST_MAX = 0.1  # a tenth of what the adapter does to the base, see `Twin.lost`
TEXTS = ("LICENSE*", "LICENCE*", "NOTICE*", "README*", "USE_POLICY*")

Bits = int | None
"""Least bits of a layer that the adapter changed; None unpacks the whole model."""


@dataclass(frozen=True)
class Source:
    """What is fused."""

    adapter: Path
    base: Path
    recipe: dict[str, Any]

    @classmethod
    def find(cls, adapter: Path, base_folder: str | None) -> "Source":
        """Find the base that an adapter was trained on, every file of it verified.

        Raises:
            ModelError: there is no adapter, or its base is missing or another one.
        """
        if not (adapter / RECIPE_FILE).exists():
            raise ModelError(
                f"{adapter} holds no adapter. Train one with `dvc repro`, or name its folder: --adapter PATH."
            )
        recipe = read_json(adapter / RECIPE_FILE)
        return cls(adapter, resolve(recipe["base"], base_folder), recipe)

    @property
    def config(self) -> dict[str, Any]:
        """The base's config.json."""
        config: dict[str, Any] = read_json(self.base / "config.json")
        return config

    def choices(self) -> list[Bits]:
        """Return what to try where nothing is asked for, the smallest first."""
        packed = {"quantization", "quantization_config"} & self.config.keys()
        return [8, None] if packed else [None]


def export(
    source: Source, destination: Path, choices: Sequence[Bits], *, force: bool, tell: Callable[[str], None]
) -> None:
    """Write the first of `choices` that keeps the adapter to `destination`, whole or not at all.

    Args:
        force: replace a model that was exported to `destination` before.
        tell: called with a line for every measurement.

    Raises:
        DataError: `destination` is taken.
        ModelError: none keeps the adapter.
        StorageError: the disk refused.
    """
    _require_free(destination, source, force)
    twin = _twin(source, tell)
    with staged_folder(destination) as part:
        for bits in choices:
            _write(part, source, bits)
            fused = twin.distance(open_streamed(part))
            lost = twin.lost(fused)
            tell(f"{_form(bits):8}{_text(fused, twin)}; {lost:.1%} of the adapter is lost")
            if lost <= LOST_MAX:  # never true of NaN
                break
        else:
            raise ModelError(
                f"{_form(choices[-1])} would lose {lost:.1%} of what the adapter does to the base; at most "
                f"{LOST_MAX:.0%} may be lost. Nothing was written. {_next(choices[-1])}"
            )


def _twin(source: Source, tell: Callable[[str], None]) -> Twin:
    loaded = load_base(source.base, source.adapter)
    place, prompts = _probes(source, loaded.tokenizer)
    twin = measure(loaded, prompts)
    tell(f"probes  {len(prompts)} prompts of {place}, {sum(twin.lengths)} tokens of the twin's greedy replies")
    tell(f"base    {_text(twin.base, twin)}")
    if not twin.base.nats_per_token > 0:
        raise ModelError(
            f"{source.adapter} changes nothing in the base's answers, so there is nothing to fuse. Train it longer."
        )
    return twin


def _probes(source: Source, tokenizer: Any) -> tuple[str, list[list[int]]]:
    """Return where the probe prompts are from, and their tokens."""
    if VALID.exists():
        rows = read_jsonl(VALID)
        chosen = rows[:: max(1, len(rows) // PROBES)][:PROBES]
        fitted = [fit(row["messages"], tokenizer, row["id"], source.recipe["max_tokens"]) for row in chosen]
        found = [list(example.tokens[: example.prompt_tokens]) for example in fitted if example is not None]
        if found:
            return str(VALID), found
    recipe = PromptRecipe.from_json(source.recipe["prompt"])
    started = datetime(1970, 1, 1, tzinfo=UTC)  # no time enters a prompt
    turns = [Turn(one.id, "partner", one.text, started) for one in protocol()]
    return "the protocol", [prompt_tokens(prompt([turn], recipe, _no_states).messages, tokenizer) for turn in turns]


def _no_states(texts: Sequence[str]) -> NoReturn:
    raise AssertionError("a cold start has no trajectory to embed")


def _write(part: Path, source: Source, bits: Bits) -> None:
    """Fill `part` with the fused model: weights of its own, all else as in the base's folder."""
    for file in part.iterdir():
        file.unlink()
    # Copied, never saved again: transformers writes another tokenizer.json than the one it read.
    for file in _companions(source.base):
        shutil.copyfile(file, part / file.name)
    shutil.copyfile(source.adapter / RECIPE_FILE, part / RECIPE_FILE)
    card = card_of(source.adapter / RECIPE_FILE, _card(source.adapter))
    if card is not None:
        put(fused(card), part)
    model = load_base(source.base, source.adapter).model
    fuse(model, bits)
    config = source.config
    stored = config.pop("quantization", None)
    config.pop("quantization_config", None)
    packed = quantization(model, stored)
    if packed:
        config |= {"quantization": packed, "quantization_config": packed}
    # Not write_json: some architectures have an infinite bound here.
    write_text(part / "config.json", json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    arrays = dict(tree_flatten(model.parameters()))
    del model
    write_weights(part, arrays)
    mx.clear_cache()


def _card(adapter: Path) -> Path:
    """A promoted adapter has its card beside it."""
    beside = adapter / README
    return beside if beside.exists() else CARD


def _companions(base: Path) -> Iterable[Path]:
    own = {"config.json", INDEX, *(file.name for file in base.glob(WEIGHTS))}
    texts = {file for pattern in TEXTS for file in base.glob(pattern) if file.is_file()}
    return sorted({file for file in model_files(base) if file.name not in own} | texts)


def _require_free(destination: Path, source: Source, force: bool) -> None:
    if not destination.exists():
        return
    place = destination.resolve()
    if any(place == folder or place in folder.parents for folder in (source.base.resolve(), source.adapter.resolve())):
        raise DataError(f"{destination} holds the base or the adapter. Choose another folder.")
    exported = [RECIPE_FILE, "config.json", INDEX]
    if force and all((destination / name).exists() for name in exported):
        return
    move = "--force replaces exported models only" if force else "Replace an exported model with --force"
    raise DataError(f"{destination} exists already. Choose another folder. {move}.")


def _text(distance: Distance, twin: Twin) -> str:
    return (
        f"{distance.nats_per_token:.2g} nats per token from the twin, {distance.other_tokens} other tokens, "
        f"{distance.same_replies} of {len(twin.lengths)} replies the same"
    )


def _form(bits: Bits) -> str:
    return "full" if bits is None else f"{bits} bits"


def _next(bits: Bits) -> str:
    if bits is None:
        return "Use the base with the adapter, as `twin chat` and `mlx_lm.server --adapter-path` do."
    return "Let the form be chosen (neither --bits nor --full), or use the base with the adapter."
