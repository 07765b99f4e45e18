"""Rules between parameters: what cannot work is an error, what usually goes wrong is a warning with its reason.

Source of the figures: the research note's rank table and learning-rate ranges, for about 150,000 supervised
tokens.
"""

import math
import re
from collections.abc import Iterator

from twin.config.adapter import AdapterConfig, Kind
from twin.config.align import Method
from twin.config.embedder import contradictions as embedder_contradictions
from twin.config.generate import contradictions as generate_contradictions
from twin.config.model import ModelConfig, Origin
from twin.config.schema import Config
from twin.errors import ConfigError

WEIGHT_DECAY_MAX = 0.1
RATE_SHARE_MIN = 0.01  # of the supervised rate; the note's 5e-6 is a tenth of 5e-5


def check_rules(config: Config) -> list[str]:
    """Return the warnings for a configuration whose sections are each valid.

    Raises:
        ConfigError: the sections contradict each other; with `strict`, also instead of the first warning.
    """
    for problem in _contradictions(config):
        raise ConfigError(f"params.yaml: {problem}")
    warnings = list(_warnings(config))
    if config.strict and warnings:
        raise ConfigError(f"params.yaml: strict: {warnings[0]}")
    return warnings


def _contradictions(config: Config) -> Iterator[str]:
    split = config.split
    total = split.train + split.valid + split.cal + split.test
    if not math.isclose(total, 1.0, abs_tol=1e-9):
        yield f"split: train + valid + cal + test is {total:g}; it must be 1."
    if config.augment.smoothing % 2 == 0:
        yield f"augment.smoothing is {config.augment.smoothing}; a centred average needs an odd width."
    yield from embedder_contradictions(config.augment.embedder)
    yield from generate_contradictions(config.generate)
    if "\n" in config.augment.persona:
        yield "augment.persona has a line break; the system prompt is one line."
    if not config.adapter.keys:
        yield "adapter.keys is empty; name the layers to adapt, e.g. -S adapter/keys=five."
    if config.train.accumulate % config.train.ranks:
        yield (
            f"train.ranks is {config.train.ranks} and train.accumulate {config.train.accumulate}; the micro-batches of "
            "an update are shared among the ranks, so accumulate must be a multiple of ranks."
        )
    yield from _base_contradictions(config.model)


def _base_contradictions(model: ModelConfig) -> Iterator[str]:
    if model.origin is Origin.hub:
        if not re.fullmatch(r"[0-9a-f]{40}", model.revision or ""):
            yield f"model.revision is {model.revision}; a hub model needs its commit, 40 hex digits: a name can move."
    elif model.folder is None:
        yield f"model.folder is null; origin {model.origin.value} needs one: -S model.folder=PATH."
    if model.learning_rate_min > model.learning_rate_max:
        yield f"model.learning_rate_min {model.learning_rate_min:g} is above model.learning_rate_max."


def _warnings(config: Config) -> Iterator[str]:
    rate, model = config.optimizer.learning_rate, config.model
    if not model.learning_rate_min <= rate <= model.learning_rate_max:
        yield (
            f"optimizer.learning_rate is {rate:g}; for {model.id} the safe range is {model.learning_rate_min:g} to "
            f"{model.learning_rate_max:g}: below it the adapter does not move, above it training diverges."
        )
    if config.optimizer.weight_decay > WEIGHT_DECAY_MAX:
        yield (
            f"optimizer.weight_decay is {config.optimizer.weight_decay:g}; above {WEIGHT_DECAY_MAX:g} it erases what "
            "the adapter learns."
        )
    yield from _rank_warnings(config.adapter, config.optimizer.weight_decay)
    if config.align.method is Method.dpo:
        yield from _align_warnings(config.align.optimizer.learning_rate, rate)


def _align_warnings(rate: float, trained: float) -> Iterator[str]:
    if not RATE_SHARE_MIN * trained <= rate <= trained:
        yield (
            f"align.optimizer.learning_rate is {rate:g} and optimizer.learning_rate {trained:g}; preference training "
            "wants about a tenth of it: far below it the adapter does not move, above it forgets the voice."
        )


def _rank_warnings(adapter: AdapterConfig, weight_decay: float) -> Iterator[str]:
    if adapter.rank >= 128:
        yield f"adapter.rank is {adapter.rank}; from 128 on it memorises a few thousand replies. First choice: 32."
    elif adapter.rank >= 64 and not (weight_decay >= WEIGHT_DECAY_MAX and adapter.dropout >= 0.1):
        yield f"adapter.rank is {adapter.rank}; 64 needs weight decay 0.1 and dropout 0.1, or 32 instead."
    elif adapter.rank <= 8 and adapter.kind is Kind.lora:
        yield f"adapter.rank is {adapter.rank}; 8 carries a voice only with DoRA (-S adapter=dora_r8), else 32."
