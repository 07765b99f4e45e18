"""What the trained adapter makes of pairs and real replies: computed once, kept by content → nats.

Everything is measured against it, and nothing that training does changes it: it is kept in `.work/references/` under
the hash of base, adapter, tokens, code and arithmetic.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from stages.align.pairs import Nats, Pair, pair_nats
from twin.errors import TwinError
from twin.files import canonical_json, read_json, sha256_text, write_json
from twin.likelihood import score
from twin.model import Split
from twin.progress import Progress
from twin.runlog import work_folder
from twin.tokens import Example

BITS = 1 / math.log(2)


@dataclass(frozen=True)
class Reference:
    """Negative log-likelihoods under the trained adapter."""

    train: Nats
    valid: Nats
    real_nats: float
    """Of all real held-out replies."""


@dataclass(frozen=True)
class Material:
    """What is learned from and what is looked at."""

    train: Sequence[Pair]
    valid: Sequence[Pair]
    real: Sequence[Example]
    """The person's held-out replies."""

    @property
    def real_tokens(self) -> int:
        """Supervised tokens of the real replies."""
        return sum(example.supervised for example in self.real)

    def bits(self, real_nats: float) -> float:
        """Return bits per token of the real replies."""
        return real_nats * BITS / self.real_tokens


def measured(model: Split, material: Material) -> Reference:
    """Measure with the adapter that is on the model."""
    real_nats = sum(one.total_nats for one in score(model, material.real))
    return Reference(pair_nats(model, material.train), pair_nats(model, material.valid), real_nats)


def reference(model: Split, material: Material, made_of: Mapping[str, Any]) -> Reference:
    """Return what was kept for this very content, or measure and keep it.

    Args:
        model: with the trained adapter on it.
        material: pairs and replies.
        made_of: hashes of what the model is made of, and how this machine computes.
    """
    examples = chain(*((pair.chosen, pair.rejected) for pair in [*material.train, *material.valid]), material.real)
    tokens = [[example.prompt_tokens, *example.tokens] for example in examples]
    parts = [len(material.train), len(material.valid), len(material.real)]
    key = sha256_text(canonical_json({"made_of": made_of, "tokens": tokens, "parts": parts}))
    path = work_folder() / "references" / f"{key[:32]}.json"
    try:
        found = read_json(path) if path.exists() else {}
        if found.get("key") == key:
            Progress().keep(f"reference: kept in {path}")
            return Reference(np.array(found["train"]), np.array(found["valid"]), found["real_nats"])
    except TwinError:
        path.unlink()
    Progress().keep(f"reference: {2 * (parts[0] + parts[1]) + parts[2]} replies under the trained adapter")
    made = measured(model, material)
    write_json(
        path, {"key": key, "train": made.train.tolist(), "valid": made.valid.tolist(), "real_nats": made.real_nats}
    )
    return made
