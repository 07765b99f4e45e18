"""Sessions of blind ratings as the rating page writes them: the wanted answers → rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twin.files import sha256_text, write_text
from twin.ratings import left_items

KEY = "5a" * 16
RUN, ADAPTER, GENERATIONS = "0" * 64, "1" * 64, "2" * 64
AGAINST = {"pairs": "B1", "identify": "R", "prefer": "B1"}
Row = dict[str, Any]


def session(
    wanted: Sequence[str | int | None],
    *,
    mode: str = "pairs",
    prompt_ids: Sequence[str] | None = None,
    repeats: int | None = None,
    changed: int = 0,
    catches: int | None = None,
    missed: int = 0,
    **header: Any,
) -> list[Row]:
    """Return the rows of a session: the arm wanted for each prompt (None: can't tell), or its score.

    A fifth is repeated and a tenth caught, unless told; `changed` repeats and `missed` catch items go wrong.
    """
    repeats = len(wanted) // 5 if repeats is None else repeats
    catches = len(wanted) // 10 if catches is None else catches
    n_items = len(wanted) + repeats + catches
    ids = prompt_ids or [f"p{place}" for place in range(len(wanted))]
    left = left_items(KEY, n_items)
    answers = [_answer(item, ids[item], one, mode, item in left) for item, one in enumerate(wanted)]
    for place in range(repeats):
        answers.append(_again(len(answers), answers[place], place < changed))
    for place in range(catches):
        answers.append(_catch(len(answers), mode, len(answers) in left, place < missed))
    first = {
        "kind": "session", "version": 1, "id": "one", "rater": "ann", "run_id": RUN, "adapter_sha256": ADAPTER,
        "generations_sha256": GENERATIONS, "mode": mode, "key_sha256": sha256_text(KEY), "n_items": n_items,
    }  # fmt: skip
    return [first | header, *answers, {"kind": "end", "key": KEY, "answers": len(answers)}]


def _answer(item: int, prompt_id: str, wanted: str | int | None, mode: str, first_left: bool) -> Row:
    if mode == "protocol":
        arms, answer = {"shown": "X"}, wanted
    else:
        first, second = sorted(("X", AGAINST[mode]))
        arms = {"left": first, "right": second} if first_left else {"left": second, "right": first}
        answer = next((side for side, arm in arms.items() if arm == wanted), "cant_tell")
    return {
        "kind": "answer", "item": item, "prompt_set": "protocol" if mode == "protocol" else "test",
        "prompt_id": prompt_id, "arms": arms, "answer": answer, "repeat_of": None, "catch": False, "seconds": 3.5,
    }  # fmt: skip


def _again(item: int, first: Row, changed: bool) -> Row:
    sides = {"left": "right", "right": "left"}
    arms = {sides.get(side, side): arm for side, arm in first["arms"].items()}
    answer = first["answer"] if changed else sides.get(first["answer"], first["answer"])
    return first | {"item": item, "arms": arms, "answer": answer, "repeat_of": first["item"]}


def _catch(item: int, mode: str, first_left: bool, missed: bool) -> Row:
    row = _answer(item, f"catch{item}", 0 if mode == "protocol" else "X", mode, first_left)
    right = row["answer"]
    wrong = 3 if mode == "protocol" else {"left": "right", "right": "left"}[right]
    return row | {"catch": True, "right": right, "answer": wrong if missed else right}


def write_session(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows; NaN too, which a malformed file may hold."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
