"""params.yaml → one frozen, checked dataclass.

Stages read params.yaml and never conf/: what DVC recorded is what ran.
"""

import difflib
import typing
from dataclasses import is_dataclass, make_dataclass
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from twin.errors import ConfigError

PARAMS = Path("params.yaml")
T = TypeVar("T")


def load(section: type[T], path: Path = PARAMS) -> T:
    """Read the section that `section` describes; `IngestConfig` is read from the key `ingest`.

    Raises:
        ConfigError: a key is unknown or missing, a value has the wrong type or lies outside its bounds.
    """
    name = section.__name__.removesuffix("Config").lower()
    values = read(path)
    if name not in values:
        raise ConfigError(f"{path}: the section {name} is missing. Run `python -m stages.config reset`.")
    return build(section, values[name], name, path)


def read(path: Path = PARAMS) -> dict[str, Any]:
    """Read params.yaml as plain values.

    Raises:
        ConfigError: the file is missing or is not a mapping.
    """
    if not path.exists():
        raise ConfigError(f"{path} is missing. Run `python -m stages.config reset` to write it from conf/.")
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except YAMLError as error:
        line = error.problem_mark.line + 1 if isinstance(error, MarkedYAMLError) and error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML. Run `python -m stages.config reset` to write it again.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a mapping. Run `python -m stages.config reset` to write it from conf/.")
    return {str(key): value for key, value in values.items()}


def build(section: type[T], values: object, name: str, path: Path = PARAMS) -> T:
    """Turn plain values into a frozen `section`, checking names, types and bounds.

    Raises:
        ConfigError: as `load`.
    """
    try:
        merged = OmegaConf.merge(OmegaConf.structured(mutable(section)), typing.cast(DictConfig, values))
        plain = OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        raise ConfigError(_unknown_key(section, error, name, path)) from error
    except MissingMandatoryValue as error:
        raise ConfigError(
            f"{path}: {name}.{error.key} has no value (???). Give one: -S {name}.{error.key}=…"
        ) from error
    except (OmegaConfBaseException, ValueError) as error:
        place = f"{name}.{getattr(error, 'full_key', None) or ''}".rstrip(".")
        raise ConfigError(f"{path}: {place}: {str(error).splitlines()[0]}.") from error
    return _made(section, plain, name, path)


def _made(section: type[T], plain: Any, name: str, path: Path) -> T:
    values = {key: getattr(plain, key) for key in typing.get_type_hints(section)}
    for key, kind in typing.get_type_hints(section).items():
        if isinstance(kind, type) and is_dataclass(kind):
            values[key] = _made(kind, values[key], f"{name}.{key}", path)
    made = section(**values)
    _check_bounds(made, name, path)
    return made


def mutable(section: type[Any]) -> type[Any]:
    """Return a twin of a frozen dataclass that OmegaConf may merge into: it treats frozen ones as read-only."""
    hints = typing.get_type_hints(section).items()
    fields = [(key, mutable(kind) if isinstance(kind, type) and is_dataclass(kind) else kind) for key, kind in hints]
    return make_dataclass(section.__name__, fields)


def _unknown_key(section: type[Any], error: ConfigKeyError, name: str, path: Path) -> str:
    known = list(typing.get_type_hints(section))
    close = difflib.get_close_matches(str(error.key), known, n=1)
    hint = f"Did you mean {name}.{close[0]}?" if close else f"It has: {', '.join(known)}."
    return f"{path}: {name}.{error.key} is not a parameter of this section. {hint}"


def _check_bounds(made: object, name: str, path: Path) -> None:
    hints = typing.get_type_hints(type(made), include_extras=True)
    for key, hint in hints.items():
        value = getattr(made, key)
        for bounds in getattr(hint, "__metadata__", ()):
            broken = bounds.broken_by(value) if value is not None else None
            if broken:
                raise ConfigError(f"{path}: {name}.{key} is {value}; it must be {broken}.")
