"""The one writer of prompts: the turns before a reply → chat messages with the tag in the system line.

Training rows, the evaluation and a live chat all come through `prompt`; what they show can differ only in
the turns. Everything that decides the outcome is in `PromptRecipe`, which travels with the adapter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from twin import embedder
from twin.config.augment import AugmentConfig, Scalar, Tags
from twin.conversation import Turn, merge
from twin.errors import ConfigError, DataError, ModelError
from twin.geometry import Reading, measure
from twin.text import neutralise

PROMPT_VERSION = 1
"""Counts up whenever equal turns give other messages: an adapter is only good with the prompt it learned."""

COLD_TURNS = 3
"""With fewer merged turns before the reply there is no trajectory to speak of."""

CHAT_ROLES = {"person": "assistant", "partner": "user"}
"""The person is the one who answers, so a model plays them as the assistant."""

Message = dict[str, str]
Embed = Callable[[Sequence[str]], NDArray[np.float64]]


@dataclass(frozen=True)
class PromptRecipe:
    """All that decides a prompt besides the turns; see `AugmentConfig` for what each field trades."""

    persona: str
    tags: Tags
    scalars: tuple[Scalar, ...]
    window: int
    context_turns: int
    neighbours: int
    bins: int
    smoothing: int
    embedder: embedder.Identity
    version: int = PROMPT_VERSION

    def __post_init__(self) -> None:
        if not self.persona.strip() or len(self.persona.splitlines()) > 1:
            raise ConfigError(f"augment.persona is {self.persona!r}; the system line needs one line of text.")
        if len(set(self.scalars)) < len(self.scalars):
            names = ", ".join(scalar.name for scalar in self.scalars)
            raise ConfigError(f"augment.scalars names one twice: {names}. Leave each in once.")
        if self.smoothing % 2 == 0:
            raise ConfigError(f"augment.smoothing is {self.smoothing}; it must be odd, so that the average is centred.")

    @property
    def reach(self) -> int:
        """Merged turns before a reply that can change its prompt; older ones need not be passed."""
        return max(self.window, self.context_turns, COLD_TURNS)

    @classmethod
    def from_config(cls, config: AugmentConfig) -> "PromptRecipe":
        """Take the recipe from params.yaml."""
        shared = {field.name: getattr(config, field.name) for field in fields(cls) if hasattr(config, field.name)}
        return cls(**shared | {"scalars": tuple(config.scalars), "embedder": embedder.identity(config)})

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        scalars = [scalar.name for scalar in self.scalars]
        return asdict(self) | {"tags": self.tags.name, "scalars": scalars, "embedder": dict(self.embedder)}

    @classmethod
    def from_json(cls, value: object) -> "PromptRecipe":
        """Read what `to_json` wrote.

        Raises:
            ModelError: another version, or fields that are unknown, missing or of the wrong kind; all are named.
        """
        problems = _problems(value)
        if problems:
            raise ModelError(
                f"prompt recipe: {'; '.join(problems)}. Use the version that trained the adapter, or train again."
            )
        assert isinstance(value, dict)
        try:
            scalars = tuple(Scalar[name] for name in value["scalars"])
            return cls(**value | {"tags": Tags[value["tags"]], "scalars": scalars})
        except ConfigError as error:
            raise ModelError(f"prompt recipe: {error}") from error


@dataclass(frozen=True)
class Prompt:
    """What a model is shown before it answers; `tag` is empty where the recipe wants none."""

    messages: list[Message]
    tag: str
    reading: Reading | None

    def answered(self, reply: str) -> list[Message]:
        """Return the messages with the reply behind them: a training row."""
        return [*self.messages, {"role": CHAT_ROLES["person"], "content": neutralise(reply)}]


def prompt(turns_before: Sequence[Turn], recipe: PromptRecipe, embed: Embed) -> Prompt:
    """Write the prompt for the reply to `turns_before`.

    Args:
        turns_before: the conversation up to the reply, merged or not; the last turn is the partner's.
        recipe: from params.yaml in training, from the adapter's recipe.json in a live reply.
        embed: texts to states, as the embedder the recipe names.

    Raises:
        DataError: nothing was said before the reply, or the person spoke last.
    """
    merged = merge(turns_before)
    if not merged or merged[-1].role != "partner":
        last = f"turn {merged[-1].id} is the person's own" if merged else "there is no turn"
        raise DataError(
            f"a reply answers a partner's turn, but {last}. Pass the turns up to and with the one to answer."
        )
    reading = _reading(merged, recipe, embed)
    line = tag(reading, recipe)
    system = {"role": "system", "content": f"{neutralise(recipe.persona.strip())} {line}".rstrip()}
    return Prompt([system, *map(_message, merged[-recipe.context_turns :])], line, reading)


def _message(turn: Turn) -> Message:
    return {"role": CHAT_ROLES[turn.role], "content": neutralise(turn.content)}


def _reading(merged: Sequence[Turn], recipe: PromptRecipe, embed: Embed) -> Reading | None:
    if len(merged) < COLD_TURNS:
        return None
    states_T_D = embed([turn.content for turn in merged[-recipe.window :]])
    return measure(states_T_D, recipe.neighbours, recipe.bins, recipe.smoothing)


def tag(reading: Reading | None, recipe: PromptRecipe) -> str:
    """Write a reading for the system line; without one, the tag of a cold start."""
    if recipe.tags is Tags.none:
        return ""
    if reading is None:
        return "[trajectory: cold-start]"
    scalars = [f"{scalar.value}={_two_decimals(getattr(reading, scalar.name))}" for scalar in recipe.scalars]
    return f"[trajectory: {' '.join([*scalars, f'regime={reading.regime}'])}]"


def _two_decimals(value: float) -> str:
    # Rounded first where only noise is left: 0.125 must not become 0.13 on another machine. `+ 0.0` turns -0.0 to 0.0.
    return f"{round(round(value, 9), 2) + 0.0:.2f}"


def _problems(value: object) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"it is {type(value).__name__}, not an object"]
    if value.get("version") != PROMPT_VERSION:
        return [f"version is {value.get('version')!r}, this program writes version {PROMPT_VERSION}"]
    known = {field.name for field in fields(PromptRecipe)}
    problems = [f"{name} is unknown" for name in sorted(set(value) - known)]
    problems += [f"{name} is missing" for name in sorted(known - set(value))]
    problems += [f"{name} is {value[name]!r}" for name in sorted(known & set(value)) if not _fits(name, value[name])]
    return problems


def _fits(name: str, value: Any) -> bool:
    match name:
        case "persona":
            return isinstance(value, str)
        case "tags":
            return isinstance(value, str) and value in Tags.__members__
        case "scalars":
            return isinstance(value, list) and set(map(str, value)) <= set(Scalar.__members__)
        case "embedder":
            return isinstance(value, dict)
        case "version":
            return True
        case _:
            (bounds,) = get_type_hints(AugmentConfig, include_extras=True)[name].__metadata__
            return type(value) is int and bounds.broken_by(value) is None
