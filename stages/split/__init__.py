"""Which conversations are learned from and which judge: examples.jsonl → train, valid, cal and test.

Whole conversations, oldest first, so that nothing a model is judged on comes from a conversation it learned
from. Replies of train that a judging part holds too are purged, unless they are stock phrases. The rows are read
once to decide and once to copy: memory holds the replies, never the prompts. Canaries, made-up secrets for an audit,
lie in a file of their own.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from stages.split.canaries import planted
from stages.split.examples import Conversation, Row, Tally, copied, scan, write
from stages.split.near_duplicates import copies
from stages.split.parts import PARTS, Parts, apportion, halves
from stages.split.proofs import prove
from stages.split.tag_value import NEWEST, gains
from twin.config.load import load
from twin.config.split import SplitConfig
from twin.errors import DataError
from twin.files import staged_folder, write_json

EXAMPLES = Path("data/augment/examples.jsonl")
SPLIT = Path("data/split")
METRICS = Path("metrics/split.json")


def split(examples: Path, folder: Path, config: SplitConfig) -> Row:
    """Write the rows of each part into `folder` and return the metrics that prove the parts apart.

    Raises:
        ConfigError: the shares do not sum to 1.
        DataError: the examples cannot be read, a part is empty, or more of train is purged than `purge_share_max`.
    """
    tally = distribute(examples, folder, config)
    metrics = prove(folder, config)
    write(folder / "canaries.jsonl", planted(folder / "train.jsonl", config.canaries))
    train = metrics["parts"]["train"]["replies"]
    purged = tally.dropped["equal"] + tally.dropped["similar"]
    return metrics | {
        "rows": _account(metrics["parts"], tally),
        "dropped": tally.dropped,
        "canaries": config.canaries,
        "purge_share": round(purged / (purged + train), 6),
        "tag_value": gains(folder / "train.jsonl", skip=train - NEWEST),
    }


def distribute(examples: Path, folder: Path, config: SplitConfig) -> Tally:
    """Write the four parts and return the rows read, and dropped by reason."""
    conversations, tally = scan(examples, config)
    parts = apportion(conversations, config)
    stock = _stock(parts["train"], config.stock_conversations)
    learned = _size(parts["train"])
    purged = _purge(parts, stock, config)
    _check_purge(sum(purged.values()), learned, config)
    for name in PARTS:
        write(folder / f"{name}.jsonl", _marked(examples, name, parts[name], stock))
    tally.dropped |= purged
    return tally


def _stock(train: Iterable[Conversation], conversations: int) -> set[str]:
    """Return the normalised replies said in so many conversations of train, as it is before the purge."""
    said = Counter(plain for conversation in train for plain in {reply.plain for reply in conversation.replies})
    return {plain for plain, found in said.items() if found >= conversations}


def _purge(parts: Parts, stock: set[str], config: SplitConfig) -> dict[str, int]:
    """Take the near-duplicates of judging replies out of train, stock phrases aside, and count them by kind."""
    said = {name: {reply.plain for one in parts[name] for reply in one.replies} for name in PARTS}
    judging = set[str]().union(*(said[name] for name in PARTS[1:]))
    found = dict(zip(("equal", "similar"), copies(said["train"] - stock, judging, config), strict=True))
    purged = dict.fromkeys(found, 0)
    for conversation in parts["train"]:
        for kind, texts in found.items():
            left = [reply for reply in conversation.replies if reply.plain not in texts]
            purged[kind] += len(conversation.replies) - len(left)
            conversation.replies = left
    return purged


def _size(part: Iterable[Conversation]) -> int:
    return sum(len(conversation.replies) for conversation in part)


def _check_purge(purged: int, learned: int, config: SplitConfig) -> None:
    if purged / learned > config.purge_share_max or purged == learned:
        raise DataError(
            f"{EXAMPLES}: {purged} of {learned} replies of train ({purged / learned:.0%}) equal or resemble replies "
            f"of valid, cal or test; split.purge_share_max is {config.purge_share_max:.0%}. The data repeat "
            "themselves: look for copies of whole conversations in the export, or raise the limit knowingly."
        )


def _account(parts: Row, tally: Tally) -> dict[str, int]:
    """Return the rows read, written and dropped, which are one sum."""
    written, dropped = sum(part["replies"] for part in parts.values()), sum(tally.dropped.values())
    assert tally.examples == written + dropped, (tally, written)
    return {"examples": tally.examples, "written": written, "dropped": dropped}


def _marked(examples: Path, name: str, part: Collection[Conversation], stock: set[str]) -> Iterator[Row]:
    """Yield the rows of a part as they are written; cal is halved."""
    half = {key: {"half": value} for key, value in halves(part).items()} if name == "cal" else {}
    for row, plain in copied(examples, part):
        yield row | {"split": name, "stock": plain in stock} | half.get(row["conversation_id"], {})


def main() -> None:
    """Run the stage."""
    with staged_folder(SPLIT) as folder:
        metrics = split(EXAMPLES, folder, load(SplitConfig))
    write_json(METRICS, metrics)
