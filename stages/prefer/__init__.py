"""Which of two replies the person would rather have said: data/split/{train,valid}.jsonl, models/sft/ → data/prefer/.

Chosen is the person's own reply; rejected is the base's to the same prompt, the trained adapter's, or both. Blind
ratings of these replies add pairs and overrule them. Pairs of train teach, pairs of valid choose the best adapter;
cal and test are not read. With `align.method: none` nothing is asked and no model is loaded.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.prefer.lengths import by_source, lengths, warning
from stages.prefer.pairs import RATING, LeftOut, Pair, made, sift, whole
from stages.prefer.rated import rated
from twin.adapter import RECIPE_FILE
from twin.base import resolve
from twin.config.align import AlignConfig, Method
from twin.config.load import load
from twin.config.model import ModelConfig
from twin.config.prefer import PreferConfig
from twin.errors import DataError
from twin.files import read_json, read_jsonl, sha256_file, sha256_text, staged_folder, write_json, write_jsonl
from twin.identity import stage_inputs
from twin.ratings import Session, read_sessions

SPLITS = {"train": Path("data/split/train.jsonl"), "valid": Path("data/split/valid.jsonl")}
RATINGS = Path("data/ratings")
ADAPTER = Path("models/sft")
OUT = Path("data/prefer")
METRICS = Path("metrics/prefer.json")

Row = Mapping[str, Any]


def sample(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """Choose at most `count` rows in the order of their ids' seeded hashes: a larger count adds to a smaller one."""
    return sorted(rows, key=lambda row: sha256_text(f"{seed}/{row['id']}"))[:count]


def prefer(
    asked: Mapping[str, Sequence[Row]],
    replies: Sequence[Row],
    sessions: Sequence[Session],
    replies_sha256: str,
    config: PreferConfig,
) -> tuple[list[Pair], dict[str, Any]]:
    """Return the pairs that replies and ratings make, and the metrics.

    Args:
        asked: the rows of each part that were asked.
        replies: what was answered to them, the person's own replies among them.
        sessions: blind ratings.
        replies_sha256: of the file with `replies`: a session about others says nothing of these.
        config: from params.yaml.

    Raises:
        DataError: a part has no pairs.
    """
    joined, left_out = whole(asked, replies)
    judged, refused = rated(sessions, joined, replies_sha256)
    told, kept = sift([*judged, *made(joined, judged, left_out)], config, left_out)
    _require_both(kept, left_out)
    return kept, {
        "asked": {part: sum(one.part == part for one in joined) for part in asked},
        "pairs": {part: _by_source(kept, part) for part in asked},
        "left_out": {part: _counted(left_out[part]) for part in asked},
        "ratings": {"pairs": sum(pair.source == RATING for pair in judged), "left_out": _counted(refused)},
        "lengths": {part: _lengths(_of(told, part), _of(kept, part)) for part in asked},
    }


def _lengths(told: Sequence[Pair], kept: Sequence[Pair]) -> dict[str, Any]:
    return {name: lengths(some) | {"by_source": by_source(some)} for name, some in (("found", told), ("kept", kept))}


def _of(pairs: Sequence[Pair], part: str) -> list[Pair]:
    return [pair for pair in pairs if pair.split == part]


def _by_source(pairs: Sequence[Pair], part: str) -> dict[str, int]:
    return _counted(Counter(pair.source for pair in _of(pairs, part)))


def _counted(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts) if counts[name]}


def _require_both(kept: Sequence[Pair], left_out: LeftOut) -> None:
    for part, counts in left_out.items():
        if not _of(kept, part):
            reasons = ", ".join(f"{count} {reason}" for reason, count in _counted(counts).items()) or "none were made"
            raise DataError(
                f"no pair of {part} is left ({reasons}). Raise prefer.pairs, prefer.held_out, prefer.max_new_tokens, "
                "prefer.agreement or prefer.length_ratio, or run with -S align=none."
            )


def _write(pairs: Sequence[Pair], metrics: Mapping[str, Any], part: Path) -> None:
    write_jsonl(part / "pairs.jsonl", [pair.to_json() for pair in pairs])
    write_json(METRICS, metrics)


def main() -> None:
    """Ask base and trained adapter, and pair what they say with what the person said."""
    method, config = load(AlignConfig).method, load(PreferConfig)
    with staged_folder(OUT) as part:
        if method is Method.none:
            write_jsonl(part / "replies.jsonl", [])
            _write([], {"method": method.value}, part)
            return
        from stages.prefer.replies import answers

        recipe = read_json(ADAPTER / RECIPE_FILE)
        counts = {"train": config.pairs, "valid": config.held_out}
        asked = {name: sample(read_jsonl(path), counts[name], config.seed) for name, path in SPLITS.items()}
        folder = resolve(recipe["base"], load(ModelConfig).folder)
        answered = answers(folder, ADAPTER, asked, config, max_tokens=recipe["max_tokens"], code=_code())
        write_jsonl(part / "replies.jsonl", answered.rows)
        sessions, sha256 = read_sessions(RATINGS), sha256_file(part / "replies.jsonl")
        pairs, metrics = prefer(asked, answered.rows, sessions, sha256, config)
        if said := warning(metrics["lengths"]["train"]["kept"]["by_source"]):
            print(f"warning: {said}", file=sys.stderr)
        _write(pairs, {"method": method.value, "too_long": answered.too_long, **metrics}, part)


def _code() -> dict[str, str]:
    """Return the hashes of the code that this stage runs."""
    deps = stage_inputs("prefer")["deps"]
    return {path: md5 for path, md5 in deps.items() if path.startswith("twin/")}
