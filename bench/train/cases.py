"""What is measured: models of a real width and vocabulary, examples of known lengths, and the ratios aimed at."""

from dataclasses import dataclass, replace
from typing import Any

KEYS = (
    "self_attn.q_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.down_proj",
)
SETTINGS: dict[str, Any] = {
    "rank": 32,
    "scale": 2.0,
    "dropout": 0.05,
    "learning_rate": 1e-4,
    "weight_decay": 0.01,
    "keys": KEYS,
}
SUPERVISED_SHARE = 0.2
MIXED_MEDIAN, MIXED_SIGMA = 150, 0.6  # tokens of an example, log-normal

# From the config.json of Qwen/Qwen2.5-*-Instruct; 0.5B to 3B tie the head to the embedding.
SHAPES: dict[str, dict[str, Any]] = {
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14, "num_key_value_heads": 2,
             "num_hidden_layers": 24, "vocab_size": 151936, "tie_word_embeddings": True},
    "3b": {"hidden_size": 2048, "intermediate_size": 11008, "num_attention_heads": 16, "num_key_value_heads": 2,
           "num_hidden_layers": 36, "vocab_size": 151936, "tie_word_embeddings": True},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4,
           "num_hidden_layers": 28, "vocab_size": 152064, "tie_word_embeddings": False},
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A random model: a shape of SHAPES with so many blocks."""

    shape: str
    layers: int
    bits: int | None = None
    """Of the linear layers; None for full precision."""
    head_bits: int | None = None
    """Of the embedding and the head."""

    @property
    def name(self) -> str:
        return f"{self.shape}-{self.layers}-{self.bits or 'full'}-{self.head_bits or 'full'}"


@dataclass(frozen=True)
class Case:
    """One row of the table, measured with and without gradient checkpointing."""

    name: str
    title: str
    model: Model
    adapter: str
    inputs: int | None
    """Positions the body computes per example; None for mixed lengths."""
    memory_target: float
    """Least peak memory over the resident weights, mlx-lm ÷ ours."""
    time_target: float | None
    batch: int = 1
    updates: int = 2
    """Timed ones in a run. With the warm-up at least two: the optimizer's state is there from the second on."""
    warmup: int = 1
    """Updates before those that are timed."""
    everything: bool = False
    """Supervise every token, not the replies only."""
    rounds: int = 3
    forms: tuple[str, ...] = ("ours",)
    """Our sides: more than one where a layer has several forms."""

    @property
    def rows(self) -> int:
        return (self.warmup + self.updates) * self.batch


DORA_FORMS = ("dense", "lean")
SMALL, WIDE = Model("0.5b", 4), Model("7b", 1)
# On a CPU, MLX's product by 4 bits runs at 2 GFLOP/s and OpenBLAS's at 65, so that a 4-bit head decides a row's time.
# One row has it, as every model that `mlx_lm.convert` makes; the others leave it out, and show DoRA alone.
SMALL_4BIT, SMALL_BLOCKS, WIDE_BLOCKS = Model("0.5b", 4, 4, 4), Model("0.5b", 4, 4), Model("7b", 1, 4)
CASES = (
    Case("lora", "LoRA, 0.5B-like, 1 × 160", SMALL, "lora", 160, 2.2, 2.0),
    Case("lora-wide", "LoRA, one 7B-wide layer, 1 × 96", WIDE, "lora", 96, 1.8, 1.6, rounds=2),
    # No warm-up, which would take another batch from each side: here the batches differ.
    Case("lora-mixed", "LoRA, 0.5B-like, 8 of mixed lengths", SMALL, "lora", None, 2.0, 2.5,
         batch=8, updates=4, warmup=0, rounds=1),
    Case("dora-4bit", "DoRA, 4-bit, 0.5B-like, 1 × 160", SMALL_4BIT, "dora", 160, 2.0, 1.0,
         forms=DORA_FORMS, updates=1, rounds=1),
    Case("dora-blocks", "DoRA, 4-bit blocks, 0.5B-like, 1 × 160", SMALL_BLOCKS, "dora", 160, 2.0, 1.0,
         forms=DORA_FORMS, updates=1, rounds=1),
    Case("dora-wide", "DoRA, 4-bit blocks, one 7B-wide layer, 1 × 96", WIDE_BLOCKS, "dora", 96, 5.0, None,
         forms=DORA_FORMS, updates=1, rounds=1),
    Case("lora-everything", "LoRA, 0.5B-like, all supervised, 1 × 512", SMALL, "lora", 512, 2.2, 0.9,
         everything=True, updates=1, rounds=2),
    Case("lora-2048", "LoRA, 0.5B-like, 1 × 2048", SMALL, "lora", 2048, 3.0, 1.0, updates=1, rounds=1),
)  # fmt: skip
QUICK = ("lora", "lora-everything")


def whole_models(names: list[str]) -> tuple[Case, ...]:
    """Return the rows of the narrow models at whole ones, all in 4 bits as `mlx_lm.convert` makes them: for a GPU."""
    measured = [case for case in CASES if case.model in {SMALL, SMALL_4BIT}]
    return tuple(_whole(case, name) for name in names for case in measured)


def _whole(case: Case, name: str) -> Case:
    return replace(
        case,
        name=f"{name}-{case.name}",
        title=case.title.replace("4-bit, ", "").replace("0.5B-like", f"{name.upper()} 4-bit"),
        model=Model(name, SHAPES[name]["num_hidden_layers"], 4, 4),
        updates=11,
        warmup=1,
        rounds=3,
    )
