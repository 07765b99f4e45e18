"""Choices become parameters: conf/, overrides → the text of params.yaml, checked.

`dvc exp run` composes in the same way; here it is done without a run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from twin.config.load import PARAMS, build
from twin.config.schema import Config, register, sections
from twin.errors import ConfigError

CONF = Path("conf")


def compose(conf: Path = CONF, overrides: Sequence[str] = ()) -> str:
    """Return the params.yaml that conf/ and the overrides compose, as DVC writes it.

    Raises:
        ConfigError: a file in conf/, or an override, breaks the schema.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register()
    try:
        with initialize_config_dir(version_base=None, config_dir=str(conf.resolve())):
            composed = hydra_compose("config", overrides=list(overrides))
            OmegaConf.resolve(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{conf}/: {error}") from error
    return OmegaConf.to_yaml(composed)


def checked(values: Mapping[str, Any], path: Path = PARAMS) -> Config:
    """Return the configuration that plain values are, every section checked by itself.

    Raises:
        ConfigError: what is wrong, and where.
    """
    known = sections()
    for key in values:
        if key not in known and key != "strict":
            raise ConfigError(f"{path}: {key} is not a section. It has: {', '.join(known)}.")
    made: dict[str, Any] = {name: build(kind, values.get(name, {}), name, path) for name, kind in known.items()}
    if not isinstance(values.get("strict"), bool):
        raise ConfigError(f"{path}: strict is {values.get('strict')}; it must be true or false.")
    return Config(strict=values["strict"], **made)
