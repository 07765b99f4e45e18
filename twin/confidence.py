"""How likely a reply is to be let stand: what is known when it was said → a calibrated probability, and how novel the
question is.

Fitted by `evaluate` on replies of the twin to the prompts of cal, kept as plain numbers. It holds for the adapter and
the temperature it was fitted with, and for prompts without facts.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from twin.acts import act
from twin.embedder.hashing import HASHING_VERSION, HashingEmbedder
from twin.errors import ModelError
from twin.files import read_json

CONFIDENCE: Final = "confidence.json"
QUESTIONS: Final = "questions.npy"
"""Names of the files in data/evaluate."""
VERSION: Final = 1
DECIMALS: Final = 6
DIMENSIONS: Final = 256
"""Of the hashed states of questions: no model, so that distances are the same wherever they are measured."""
MOST_QUESTIONS: Final = 5000
FEATURES: Final = ("mean_nats", "worst_nats", "log_tokens", "distance", "corrects", "asked")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Saying:
    """A reply as it was said."""

    message: str
    """The partner's turn, as the prompt shows it."""
    text: str
    tokens: int
    """Without the stop token."""
    nats: float
    """Of all its tokens, the stop token too."""
    worst_nats: float
    distance: float
    """Of the message from the nearest training prompt, 0 to 2."""

    def features(self) -> list[float]:
        """Return the numbers of FEATURES."""
        return [
            self.nats / (self.tokens + 1),
            self.worst_nats,
            math.log1p(self.tokens),
            self.distance,
            float(act(self.text) in ("correction", "refusal")),
            float(act(self.message) == "question"),
        ]


@dataclass(frozen=True)
class Confidence:
    """Fitted on one adapter; says with what probability a reply of it is acceptable."""

    run_id: str
    temperature: float
    label: str
    """What acceptable means."""
    replies: int
    acceptable: float
    """Share of the replies it was fitted on."""
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    distances: tuple[float, ...]
    """Of ordinary questions from the training prompts: quantiles 0, 1, … 100 %."""

    def probability(self, saying: Saying) -> float:
        """Return the probability that a reply is acceptable."""
        return float(self.probabilities(np.array([saying.features()]))[0])

    def probabilities(self, features_N_F: Array) -> Array:
        """Return the probability for each row of features."""
        scaled = (features_N_F - np.array(self.means)) / np.array(self.scales)
        odds = scaled @ np.array(self.weights) + self.intercept
        result: Array = np.round(1 / (1 + np.exp(-np.clip(odds, -30, 30))), DECIMALS)
        return result

    def novel_from(self, quantile: float) -> float:
        """Return the distance that so large a share of ordinary questions does not exceed."""
        return float(np.interp(quantile, np.linspace(0, 1, len(self.distances)), self.distances))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"version": VERSION, "features": list(FEATURES), "hashing": HASHING_VERSION} | {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Confidence":
        """Read what `to_json` returned.

        Raises:
            ModelError: another version or other features.
        """
        ours = {"version": VERSION, "features": list(FEATURES), "hashing": HASHING_VERSION}
        if {name: stored.get(name) for name in ours} != ours:
            raise ModelError("confidence.json is of another version of this program. Run `dvc repro evaluate`.")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
            if name not in ours
        }
        return cls(**values)


class Questions:
    """The partner's turns of train, as hashed states, to measure how far a new one lies from them."""

    def __init__(self, states_N_D: NDArray[np.float16]) -> None:
        self._states_N_D = states_N_D.astype(np.float32)
        self._embedder = HashingEmbedder(DIMENSIONS)

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Questions":
        """Embed the distinct texts, evenly spread where there are more than 5,000."""
        distinct = sorted(set(texts))
        step = max(1, math.ceil(len(distinct) / MOST_QUESTIONS))
        return cls(HashingEmbedder(DIMENSIONS).embed(distinct[::step]).astype(np.float16))

    def distances(self, texts: Sequence[str]) -> list[float]:
        """Return 1 − cosine of each text to the nearest; 1 where nothing is like it."""
        if not len(self._states_N_D):
            return [1.0] * len(texts)
        # Not BLAS: its threads would take the cores from the model that is answering, for longer than this takes.
        nearest = [float(np.einsum("nd,d->n", self._states_N_D, state_D).max()) for state_D in self._states(texts)]
        return [round(1 - one, DECIMALS - 1) for one in nearest]

    def _states(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed(texts).astype(np.float32)

    def to_bytes(self) -> bytes:
        """Return the file that `read` reads."""
        buffer = io.BytesIO()
        np.save(buffer, self._states_N_D.astype(np.float16))
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> "Questions":
        """Read what `to_bytes` returned.

        Raises:
            ModelError: it is not such a file.
        """
        try:
            states = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({error}). Run `dvc repro evaluate`.") from error
        if states.ndim != 2 or states.shape[1] != DIMENSIONS:
            raise ModelError(f"{path} holds an array of shape {states.shape}. Run `dvc repro evaluate`.")
        return cls(states)


@dataclass(frozen=True)
class Calibration:
    """A fitted confidence with the questions that its distances are measured from."""

    confidence: Confidence
    questions: Questions

    @classmethod
    def read(cls, folder: Path) -> "Calibration | None":
        """Read the two files of an evaluation; None where it fitted none.

        Raises:
            ModelError: they cannot be used.
        """
        if not (folder / CONFIDENCE).exists():
            return None
        return cls(Confidence.from_json(read_json(folder / CONFIDENCE)), Questions.read(folder / QUESTIONS))
