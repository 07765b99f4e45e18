"""Proves that the demo's export is what its README says: made, repeatable, varied, with a tie that can be cut."""

import csv
import gzip
import io
import json
import math
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest
from rapidfuzz import fuzz, process

from tools.demo_export.__main__ import CONVERSATIONS, EXPORT, SEED, export, replies, write
from tools.demo_export.conversation import Conversation, conversations
from tools.demo_export.dice import Dice
from tools.demo_export.partner import helpful_answer, prompt_turn
from tools.demo_export.table import COLUMNS, INTERRUPTED, Row, acts_csv, content_hash, to_csv
from tools.demo_export.topics import TOPICS
from tools.demo_export.voice import STATES
from twin.embedder import restore
from twin.files import sha256_file
from twin.geometry import Reading, measure
from twin.protocol import protocol
from twin.text import normalise

SHIPPED = Path(__file__).parents[1] / "data/raw/demo"


@cache
def table() -> list[Row]:
    return export(SEED, CONVERSATIONS, null=False)


@cache
def chats(null: bool) -> list[Conversation]:
    return conversations(SEED, CONVERSATIONS, null)


def contents(role: str | None = None) -> list[str]:
    unique = {row.cells["id"]: row for row in table()}.values()
    return [row.content for row in unique if role in (None, row.role)]


def acts(null: bool) -> Counter[str]:
    return Counter(exchange.act for chat in chats(null) for exchange in chat.exchanges)


def information(null: bool) -> float:
    """Bits that the state of the path tells about the act."""
    pairs = Counter((one.state, one.act) for chat in chats(null) for one in chat.exchanges)
    total = sum(pairs.values())
    states, deeds = Counter(), Counter()
    for (state, act), count in pairs.items():
        states[state] += count
        deeds[act] += count
    return sum(
        count / total * math.log2(count * total / (states[state] * deeds[act])) for (state, act), count in pairs.items()
    )


def test_the_committed_export_is_what_the_tool_writes() -> None:
    with gzip.open(SHIPPED / EXPORT, "rt", encoding="utf-8", newline="") as file:
        assert file.read() == to_csv(table())
    assert (SHIPPED.parents[1] / "labels/demo.csv").read_text(encoding="utf-8") == acts_csv(table())


def test_the_manifest_describes_the_committed_file() -> None:
    manifest = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["columns"] == list(COLUMNS)
    assert manifest["synthetic"] is True
    (entry,) = manifest["files"]
    assert entry["name"] == EXPORT
    assert entry["sha256"] == sha256_file(SHIPPED / EXPORT)
    assert entry["bytes"] == (SHIPPED / EXPORT).stat().st_size
    assert entry["rows"] == len(table())


def test_two_runs_write_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        write(export(seed, 12, null=False), tmp_path / name, seed, 12, null=False)
    one, two, other = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two", "other"))
    assert one == two
    assert one[EXPORT] != other[EXPORT]


def test_the_draws_are_those_of_every_platform() -> None:
    dice = Dice("golden")
    assert [dice.integer(0, 99) for _ in range(8)] == [81, 48, 26, 8, 37, 97, 17, 14]
    assert dice.shuffled("abcdef") == list("fcbdae")


def test_a_csv_reader_gives_back_every_cell_and_every_hash_holds() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table()), newline="")))
    assert [row["content_text"] for row in rows] == [row.content for row in table()]
    assert all(row["content_hash"] in ("", content_hash(row["content_text"])) for row in rows)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00", row["created_at"]) for row in rows)


def test_there_are_about_three_thousand_replies_in_the_promised_shares() -> None:
    assert 2700 <= replies(table()) <= 3200
    share = {act: count / acts(null=False).total() for act, count in acts(null=False).items()}
    assert 0.27 <= share["correct"] <= 0.33
    assert 0.10 <= share["continue"] <= 0.14
    assert min(share.values()) >= 0.04


def test_the_assistant_never_says_more_than_forty_words_even_merged() -> None:
    rows = sorted(
        {row.cells["id"]: row for row in table()}.values(),
        key=lambda row: (row.cells["conversation_id"], row.cells["created_at"]),
    )
    by_chat = defaultdict(list)
    for row in rows:
        if row.role in ("user", "assistant") and row.content.strip():
            by_chat[row.cells["conversation_id"]].append(row)
    words = []
    for chat in by_chat.values():
        for before, row in zip([None, *chat], chat, strict=False):
            if row.role == "assistant":
                merged = words.pop() if before is not None and before.role == "assistant" else 0
                words.append(merged + len(row.content.split()))
    assert max(words) <= 40
    assert sorted(words)[len(words) // 2] in range(24, 35)


def test_the_wording_of_the_ten_prompts_does_not_occur() -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.sub(r"[^a-z0-9]", " ", text.lower()).split()
        return set(zip(words, words[1:], words[2:], words[3:], strict=False))

    said = set().union(*(runs(text) for text in contents()))
    dice = Dice("wording")
    for _ in range(2000):
        turn = prompt_turn(dice, dice.pick(TOPICS))
        said |= runs(turn.text) | runs(helpful_answer(dice, turn))
    for prompt in protocol():
        assert not runs(prompt.text) & said, prompt.id


def test_the_purge_of_near_duplicates_takes_less_than_fifteen_in_a_hundred() -> None:
    said = [(chat.number, normalise(one.reply)) for chat in chats(null=False) for one in chat.exchanges]
    cut = len(said) * 4 // 5
    where = defaultdict(set)
    for number, text in said[:cut]:
        where[text].add(number)
    held = {text for _, text in said[cut:]}
    long = [text for text in held if len(text) >= 30]
    gone = [
        text
        for _, text in said[:cut]
        if len(where[text]) < 3
        and (text in held or (len(text) >= 30 and process.extractOne(text, long, scorer=fuzz.ratio, score_cutoff=90)))
    ]
    assert len(gone) <= 0.15 * cut


def test_there_is_exactly_one_fake_secret_and_one_address() -> None:
    everything = "\n".join(contents())
    assert len(re.findall(r"sk-[A-Za-z0-9-]{20,}", everything)) == 1
    assert re.findall(r"[\w.]+@[a-z.]+", everything) == ["sam.operator@example.com"]


def test_the_characters_are_ascii_and_one_emoji() -> None:
    assert {letter for text in contents() for letter in text if not letter.isascii()} == {"\N{THUMBS UP SIGN}"}


def test_the_mess_of_a_real_export_is_in_it() -> None:
    ids = Counter(row.cells["id"] for row in table())
    assert 2 <= sum(count == 2 for count in ids.values()) <= 20
    assert contents().count(INTERRUPTED) >= 5
    assert contents().count("") >= 5
    assert sum("Traceback" in text for text in contents("user")) >= 3
    assert any(row.cells["phase"] == "" for row in table())
    assert len(contents("system")) >= 5


def test_every_reply_has_one_act() -> None:
    lines = acts_csv(table()).splitlines()
    assert lines[0] == "id,act"
    known = {line.split(",")[0] for line in lines[1:]}
    rows = sorted(
        {row.cells["id"]: row for row in table()}.values(),
        key=lambda row: (row.cells["conversation_id"], row.cells["created_at"]),
    )
    before = None
    for row in rows:
        same = before is not None and before.cells["conversation_id"] == row.cells["conversation_id"]
        if same and row.role == "user" and before.role == "assistant":
            assert row.cells["id"] in known, row.content
        before = row


def test_the_null_switch_keeps_the_shares_and_cuts_the_tie() -> None:
    tied, cut = acts(null=False), acts(null=True)
    assert tied.total() == cut.total()
    for act in tied:
        assert abs(tied[act] - cut[act]) / tied.total() < 0.02, act
    assert information(null=False) > 0.5
    # (states − 1) × (acts − 1) / (2 n ln 2) bits are expected by chance alone: 0.005.
    assert information(null=True) < 0.012
    states = [Counter(one.state for chat in chats(null) for one in chat.exchanges) for null in (False, True)]
    assert states[0] == states[1]
    assert set(states[0]) == set(STATES)


def readings(null: bool, count: int) -> list[tuple[int, Reading, str]]:
    embed = restore({"name": "hashing", "dimensions": 256, "version": 1}).embed
    found = []
    for chat in chats(null)[:count]:
        said = [chat.opening] if chat.opening else []
        for one in chat.exchanges:
            said.append(one.turn.text)
            if len(said) >= 3:
                found.append((chat.number, measure(embed(said[-10:])), one.act))
            said.append(one.reply)
    return found


@pytest.mark.parametrize(("null", "low", "high"), [(False, 0.25, 1.0), (True, -0.3, 0.03)])
def test_the_tag_tells_the_act_only_where_it_is_meant_to(null: bool, low: float, high: float) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows = readings(null, 400)
    letters = ("commitment", "uncertainty", "transition_pressure", "recovery_margin", "phase_stiffness", "novelty")
    scalars = StandardScaler().fit_transform([[getattr(reading, name) for name in letters] for _, reading, _ in rows])
    said = [act for _, _, act in rows]
    cut = sum(number < 300 for number, _, _ in rows)
    model = LogisticRegression(max_iter=1000).fit(scalars[:cut], said[:cut])
    column = {act: at for at, act in enumerate(model.classes_)}
    prior = Counter(said[:cut])
    gains = [
        math.log2(row[column[act]] * cut / prior[act])
        for row, act in zip(model.predict_proba(scalars[cut:]), said[cut:], strict=True)
    ]
    assert low < sum(gains) / len(gains) < high
