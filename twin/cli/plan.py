"""`twin plan [MODEL]`: a model, params.yaml, a budget → what training needs, what fits and how to run it."""

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.config.adapter import AdapterConfig
from twin.config.align import AlignConfig, Method
from twin.config.load import build, load, read
from twin.config.memory import MemoryConfig
from twin.config.model import ModelConfig, Origin
from twin.config.optimizer import OptimizerConfig
from twin.config.train import TrainConfig
from twin.errors import ConfigError

if TYPE_CHECKING:
    from twin.plan.candidates import Planned
    from twin.plan.command import Settings
    from twin.plan.pairs import PairsPlanned
    from twin.plan.shape import Shape

WIDTH = 100
OPTIONS = Path("conf/model")
LOCAL = "local"  # the option for any model folder
SHIPPED_BITS = "-4bit"  # of the shapes that are shipped, as the hub's names end
COMMANDS = 3
TOKENS, BUDGET = Path("twin plan --tokens"), Path("twin plan --budget")  # the place in messages


def plan(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A name in conf/model/, a shipped shape or a folder; else params.yaml's."),
    ] = None,
    *,
    budget: Annotated[float | None, typer.Option(metavar="GIB", help="Memory that training may use.")] = None,
    tokens: Annotated[int | None, typer.Option(metavar="N", help="Plan for examples of so many tokens.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every layout, those that do not fit too.")] = False,
) -> None:
    """Show what training would need, the configurations that fit with their commands, and advice from the data."""
    from twin.plan.advice import advise, read_data
    from twin.plan.candidates import Longest, Planned
    from twin.plan.pairs import PairsPlanned, PairTokens
    from twin.plan.preflight import dense

    now, adapter = load(TrainConfig), load(AdapterConfig)
    train = now if tokens is None else build(TrainConfig, read()["train"] | {"max_tokens": tokens}, "train", TOKENS)
    subject = _find(model)
    length = Longest(train.max_tokens, train.max_tokens)
    align, on_copies = load(AlignConfig), dense(subject.shape)
    planned = Planned(subject.shape, adapter, train, length, on_copies)
    any_pair = PairTokens(train.max_tokens, train.max_tokens, train.max_tokens)
    pairs = PairsPlanned(subject.shape, adapter, align, (any_pair,), train.max_tokens, on_copies)
    report = _Report(planned, now, pairs, align, subject.settings, _budget(budget, load(MemoryConfig)))
    advice = advise(planned, read_data(), load(OptimizerConfig).learning_rate, subject.option)
    parts = [*report.parts(everything=everything), _block("Advice", _wrapped(advice))]
    typer.echo("\n\n".join(["", *parts]))


@dataclass(frozen=True)
class _Subject:
    """The model that is planned for."""

    shape: "Shape"
    option: ModelConfig | None
    """What conf/model/ says of it."""
    settings: "Settings"
    """What chooses it."""


def _find(name: str | None) -> _Subject:
    from twin.plan.shape import shipped_shape, shipped_shapes

    if name is None:
        option = load(ModelConfig)
        return _Subject(_shape(option), option, {})
    options = sorted(file.stem for file in OPTIONS.glob("*.yaml"))
    if name in options and name != LOCAL:
        option = build(ModelConfig, read(OPTIONS / f"{name}.yaml"), "model", OPTIONS / f"{name}.yaml")
        return _Subject(_shape(option), option, {"model": name})
    if name in shipped_shapes():
        return _Subject(shipped_shape(name), None, {"model": LOCAL, "model.folder": "FOLDER"})
    if (Path(name).expanduser() / "config.json").is_file():
        local = OPTIONS / f"{LOCAL}.yaml"
        option = build(ModelConfig, read(local) | {"folder": name}, "model", local)
        return _Subject(_shape(option), option, {"model": LOCAL, "model.folder": name})
    raise ConfigError(
        f"twin plan: there is no model {name}. conf/model/ has {', '.join(options)}; shapes are shipped of "
        f"{', '.join(shipped_shapes())}; or name a folder with a config.json."
    )


def _shape(option: ModelConfig) -> "Shape":
    """Return the shape of a base, without downloading it."""
    from twin.plan.shape import read_shape, shipped_shape, shipped_shapes

    if option.origin is not Origin.hub:
        if option.folder is None:
            raise ConfigError(f"model.folder is null; origin {option.origin.value} needs one: -S model.folder=PATH.")
        return read_shape(Path(option.folder).expanduser())
    short = option.id.rpartition("/")[2].lower()
    for name in shipped_shapes():
        if short.startswith(f"{name}-") and short.endswith(SHIPPED_BITS):
            return shipped_shape(name)
    from twin.base import snapshot

    return read_shape(snapshot(option.id, option.revision or "main", download=False))


@dataclass(frozen=True)
class _Budget:
    """How much may be used, where that comes from, and how to declare it."""

    gib: float | None
    source: str
    declare: str | None = None

    @property
    def usable_bytes(self) -> float:
        """In bytes; no end of them without a budget."""
        from twin.plan.memory import GIB

        return math.inf if self.gib is None else self.gib * GIB


def _budget(given: float | None, declared: MemoryConfig) -> _Budget:
    if given is not None:
        asked = build(MemoryConfig, {"budget_gib": given}, "memory", BUDGET)
        return _Budget(asked.budget_gib, "--budget", f"-S memory.budget_gib={given:g}")
    if declared.budget_gib is not None:
        return _Budget(declared.budget_gib, "memory.budget_gib")
    metal = _metal_gib()
    if metal is not None:
        return _Budget(metal, "what Metal recommends", f"-S memory.budget_gib={metal:g}")
    return _Budget(None, "none is known")


def _metal_gib() -> float | None:
    """Return what Metal recommends using, in GiB rounded down to two digits; None without Metal."""
    import mlx.core as mx

    if not mx.metal.is_available():
        return None
    usable_bytes = mx.device_info(mx.gpu).get("max_recommended_working_set_size")
    return None if usable_bytes is None else int(usable_bytes) * 100 // 2**30 / 100


@dataclass(frozen=True)
class _Report:
    planned: "Planned"
    now: TrainConfig
    pairs: "PairsPlanned"
    align: AlignConfig
    model: "Settings"
    budget: _Budget

    def parts(self, *, everything: bool) -> list[str]:
        """Return the parts of the screen."""
        from twin.plan.candidates import candidates, fitting
        from twin.plan.ways import ways_out

        head = [_block("Model", [_model(self.planned.shape)]), _block("Need", self._need())]
        head += [_block("Budget", self._budget()), _block("DPO", self._preference())]
        shown = [_block("All", self._table(candidates(self.planned)))] if everything else []
        if self.budget.gib is None:
            return [*head, *shown]
        usable_bytes = self.budget.usable_bytes
        fit = fitting(self.planned, usable_bytes)
        if not fit:
            return [*head, *shown, ways_out(self.planned, usable_bytes)]
        commands = [f"{one.title}: {self._command(one)}" for one in fit[:COMMANDS]]
        table = [] if everything else [_block("Fits", self._table(fit))]
        return [*head, *shown, *table, _block("Run", commands), *self._room(fit)]

    def _need(self) -> list[str]:
        need, size = self.planned.need, _size
        return [
            f"{size(need.total)} for {self.planned.title} at {self.planned.layout}, {_times(self.planned.train)}:",
            f"weights {size(need.weights)}, adapter {size(need.adapter)}, optimizer {size(need.optimizer)}, "
            f"kept for the backward pass {size(need.kept)}, passing {size(need.passing)}",
        ]

    def _budget(self) -> list[str]:
        if self.budget.gib is None:
            return [
                "none is known, so nothing is refused. Declare one: -S memory.budget_gib=GIB; try one: --budget GIB"
            ]
        fits = "fits" if self.planned.need.total <= self.budget.usable_bytes else "does not fit"
        declare = f"; declare it with {self.budget.declare}" if self.budget.declare else ""
        return [f"{self.budget.gib:g} GiB ({self.budget.source}): the current configuration {fits}{declare}"]

    def _preference(self) -> list[str]:
        pairs, usable_bytes = self.pairs, self.budget.usable_bytes
        off = "" if self.align.method is Method.dpo else "; off (-S align=dpo)"
        need = f"{_size(pairs.need.total)} for {pairs.title} at {pairs.layout}, {_times(self.align)}{off}"
        if pairs.need.total <= usable_bytes:
            return [need]
        fit = next((one for one in pairs.alike if one.need.total <= usable_bytes), None)
        if fit is None:
            return [need, "does not fit, nor does any layout of as many pairs an update"]
        return [need, f"does not fit; {_size(fit.need.total)} at {fit.layout} do: {self._typed(fit.settings(pairs))}"]

    def _table(self, shown: "list[Planned]") -> list[str]:
        head = ("adapter", "batch × accumulate", "checkpointing", "memory", "trained parameters")
        rows = [
            (
                one.title,
                f"{one.train.batch} × {one.train.accumulate}",
                "on" if one.train.checkpointing else "off",
                _size(one.need.total),
                f"{one.parameters:,}",
                *self._verdict(one),
            )
            for one in shown
        ]
        widths = [max(map(len, column)) for column in zip(head, *(row[:5] for row in rows), strict=True)]
        lines = [(*head, "") if row is head else row for row in (head, *rows)]
        padded = [[f"{cell:>{width}}" for cell, width in zip(line, [*widths, 0], strict=False)] for line in lines]
        return ["  ".join(cells).rstrip() for cells in padded]

    def _verdict(self, one: "Planned") -> tuple[str, ...]:
        return ("too much",) if one.need.total > self.budget.usable_bytes else ()

    def _room(self, fit: "list[Planned]") -> list[str]:
        """Propose a faster layout of the same adapter, where the current one fits and a faster one does too."""
        same = [one for one in fit if one.title == self.planned.title and one.cost < self.planned.cost]
        if not same or self.planned.need.total > self.budget.usable_bytes:
            return []
        saved = 1 - same[0].cost / self.planned.cost
        return [
            _block(
                "Room",
                [
                    f"{same[0].title} also fits at {same[0].layout}, {_times(same[0].train)}: the same gradient, "
                    f"{_size(same[0].need.total)}, about {saved:.0%} less work",
                    self._command(same[0]),
                ],
            )
        ]

    def _command(self, one: "Planned") -> str:
        from twin.plan.command import changes

        return self._typed(
            changes("adapter", self.planned.adapter, one.adapter) | changes("train", self.now, one.train)
        )

    def _typed(self, changed: "Settings") -> str:
        from twin.plan.command import command, overrides

        kept = {key: value for key, value in overrides().items() if not (self.model and key.startswith("model."))}
        return command(kept | self.model | changed)


def _model(shape: "Shape") -> str:
    return (
        f"{shape.name}: {shape.parameters:,} parameters, {_size(shape.weight_bytes)} of weights, "
        f"{len(shape.blocks)} blocks"
    )


def _times(one: TrainConfig | AlignConfig) -> str:
    return f"{one.accumulate} such micro-batches an update" if one.accumulate > 1 else "one an update"


def _size(size_bytes: int) -> str:
    from twin.progress import size_text

    return size_text(size_bytes)


def _wrapped(lines: list[str]) -> list[str]:
    return [
        piece
        for line in lines
        for piece in textwrap.wrap(line, WIDTH - 10, subsequent_indent="  ", break_on_hyphens=False)
    ]


def _block(title: str, lines: list[str]) -> str:
    return "\n".join(f"{name:10}{line}" for name, line in zip([title, *[""] * len(lines)], lines, strict=False))
