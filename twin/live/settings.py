"""How a live twin behaves: a YAML file → checked values. The shipped one lies beside this module."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import yaml

from twin.config.fields import Bounds
from twin.config.load import build
from twin.context import Limits
from twin.errors import ConfigError
from twin.files import read_text
from twin.live.routes import DEFAULT, ROUTED, read_routes

SHIPPED: Final = Path(__file__).with_name("settings.yaml")
Share = Annotated[float, Bounds(ge=0, le=1)]


@dataclass(frozen=True)
class GateSettings:
    """When a reply may be sent unseen; settings.yaml says what each value trades."""

    auto_from: Share
    abstain_below: Share
    novel_quantile: Share
    auto_every_s: Annotated[float, Bounds(ge=0)]
    irreversible: list[str]


@dataclass(frozen=True)
class VoiceSettings:
    """Which adapters there are and which answers; settings.yaml says how."""

    kept_tokens: Annotated[int, Bounds(ge=0)]
    adapters: dict[str, str]
    routes: list[dict[str, str]]


@dataclass(frozen=True)
class Settings:
    """Of one live twin."""

    facts: Limits
    gates: GateSettings
    voices: VoiceSettings

    @classmethod
    def load(cls, override: Path | None = None) -> "Settings":
        """Read the shipped settings, and what `override` says otherwise.

        Raises:
            ConfigError: a key is unknown, a value has the wrong type or lies outside its bounds.
        """
        values, place = _read(SHIPPED), override or SHIPPED
        if override is not None:
            for section, changed in _read(override).items():
                if section not in values or not isinstance(changed, dict):
                    raise ConfigError(f"{override}: {section} is not a section. It has: {', '.join(values)}.")
                values[section] |= changed
        facts = build(Limits, values["facts"], "facts", place)
        gates = build(GateSettings, values["gates"], "gates", place)
        if gates.abstain_below > gates.auto_from:
            raise ConfigError(
                f"{place}: gates.abstain_below is {gates.abstain_below}, above gates.auto_from {gates.auto_from}. "
                "What is not worth a look cannot be sent unseen: lower the one or raise the other."
            )
        voices = build(VoiceSettings, values["voices"], "voices", place)
        for name in (DEFAULT, ROUTED):
            if name in voices.adapters:
                raise ConfigError(f"{place}: voices.adapters has {name!r}, a name that is taken. Choose another.")
        read_routes(voices.routes, (DEFAULT, *voices.adapters), place)
        return cls(facts, gates, voices)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is {type(values).__name__}, not a mapping. settings.yaml shows its form.")
    return values
