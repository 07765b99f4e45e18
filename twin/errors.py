"""Every error a person can meet, as one tree.

    TwinError
    ├── ConfigError     (ValueError)    a parameter is unknown, of the wrong type, out of range or missing
    ├── DataError       (ValueError)    an input row, file or split is not usable
    ├── ModelError      (ValueError)    a base model or adapter is not what it should be
    │   └── RoomError                   prompt and reply do not fit into the model's context
    ├── MemoryPlanError (MemoryError)   training would need, or needed, more memory than there is
    ├── TrainError      (RuntimeError)  training could not finish or its result does not hold
    ├── ProvenanceError (RuntimeError)  inputs changed while a stage ran, or hashes do not agree
    ├── GraphError      (RuntimeError)  a knowledge graph does not answer, or its answer cannot be used
    └── StorageError    (OSError)       the disk refused: full, read-only, not there

Each message names the place, the value seen and the next move.
"""


class TwinError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(TwinError, ValueError):
    """A parameter is unknown, of the wrong type, out of range or missing."""


class DataError(TwinError, ValueError):
    """An input row, file or split is not usable."""


class ModelError(TwinError, ValueError):
    """A base model or an adapter is not what it should be."""


class RoomError(ModelError):
    """Prompt and reply do not fit into the model's context."""

    def __init__(self, message: str, *, context_tokens: int, prompt_tokens: int, reply_tokens: int) -> None:
        super().__init__(message)
        self.context_tokens = context_tokens
        self.prompt_tokens = prompt_tokens
        self.reply_tokens = reply_tokens


class MemoryPlanError(TwinError, MemoryError):
    """Training would need, or needed, more memory than there is."""


class TrainError(TwinError, RuntimeError):
    """Training could not finish, or its result does not hold."""


class ProvenanceError(TwinError, RuntimeError):
    """Inputs changed while a stage ran, or recorded hashes do not agree."""


class GraphError(TwinError, RuntimeError):
    """A knowledge graph does not answer in time, refuses, or says what cannot be so: nothing is known of its facts."""


class StorageError(TwinError, OSError):
    """The disk refused: full, read-only or not there."""

    def __str__(self) -> str:
        """Return the message without the error number that OSError puts before it."""
        return self.strerror or super().__str__()
