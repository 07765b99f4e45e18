"""All sections together: what Hydra composes against and what the `config` stage checks.

`hydra_plugins` imports this inside DVC's interpreter, so it imports nothing but dataclasses, omegaconf and hydra.
"""

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

from twin.config.adapter import AdapterConfig
from twin.config.align import AlignConfig
from twin.config.augment import AugmentConfig
from twin.config.campaign import CampaignConfig
from twin.config.evaluate import EvaluateConfig
from twin.config.generate import GenerateConfig
from twin.config.ingest import IngestConfig
from twin.config.load import mutable
from twin.config.memory import MemoryConfig
from twin.config.model import ModelConfig
from twin.config.optimizer import OptimizerConfig
from twin.config.prefer import PreferConfig
from twin.config.promote import PromoteConfig
from twin.config.split import SplitConfig
from twin.config.train import TrainConfig


@dataclass(frozen=True)
class Config:
    """params.yaml."""

    strict: bool
    """Refuse what is otherwise only warned of."""
    ingest: IngestConfig
    augment: AugmentConfig
    split: SplitConfig
    model: ModelConfig
    adapter: AdapterConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    memory: MemoryConfig
    prefer: PreferConfig
    align: AlignConfig
    generate: GenerateConfig
    evaluate: EvaluateConfig
    promote: PromoteConfig
    campaign: CampaignConfig


def register() -> None:
    """Offer the schema to Hydra under the name `schema`."""
    ConfigStore.instance().store(name="schema", node=mutable(Config))


def sections() -> dict[str, type[Any]]:
    """Return each section's name and dataclass, in the order of params.yaml."""
    hints = typing.get_type_hints(Config).items()
    return {name: kind for name, kind in hints if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
