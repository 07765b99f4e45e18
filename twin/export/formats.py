"""The name of a file → its format, and how a row of that format is placed in a message."""

from pathlib import Path
from typing import Final

from twin.errors import DataError

FORMATS: Final = (".csv", ".jsonl", ".ndjson", ".json", ".parquet")
COMPRESSED: Final = (".gz", ".zst")
READABLE: Final = ".csv, .jsonl, .ndjson or .json, each also as .gz or .zst, or .parquet"
UNIT: Final = {".json": "object", ".parquet": "row"}  # a row has no line of its own there


def format_of(path: Path) -> str:
    """Return the format that the name of `path` says, such as `.csv`.

    Raises:
        DataError: it is none of FORMATS.
    """
    found = _format(path)
    if found not in FORMATS:
        raise DataError(f"{path}: its format is not known by its name. Export {READABLE}.")
    if found == ".parquet" and path.suffix.lower() != ".parquet":
        raise DataError(f"{path}: Parquet is compressed inside. Unpack it and bring the .parquet file.")
    return found


def is_export(path: Path) -> bool:
    """Say whether the name of `path` is that of a file this package reads."""
    return _format(path) in FORMATS


def is_csv(path: Path) -> bool:
    """Say whether the name of `path` is that of a CSV file."""
    return _format(path) == ".csv"


def placed(path: Path | str, number: int) -> str:
    """Word where a row stands: `file:line`, `file: object 17` or `file: row 17`, all from 1."""
    unit = UNIT.get(_format(Path(path)))
    return f"{path}:{number}" if unit is None else f"{path}: {unit} {number}"


def _format(path: Path) -> str:
    name = Path(path.name.lower())
    return Path(name.stem).suffix if name.suffix in COMPRESSED else name.suffix
