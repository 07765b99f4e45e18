"""Blind ratings: data/ratings/*.jsonl → sessions, and whether each counts.

A file is one session, one JSON object a line; names sort as the sessions were begun.

    {"kind": "session", "version": 1, "id": "…", "rater": "…", "run_id": "…", "adapter_sha256": "…",
     "generations_sha256": "…", "mode": "pairs", "key_sha256": "…", "n_items": 104}
    {"kind": "answer", "item": 0, "prompt_set": "test", "prompt_id": "…", "arms": {"left": "X", "right": "B1"},
     "answer": "left", "repeat_of": null, "catch": false, "seconds": 4.2}
    {"kind": "end", "key": "9f…", "answers": 104}

- `mode`: `pairs` (which is better), `identify` (which is the person's own), `protocol` (0 to 3) or `prefer` (which is
  better, of replies that teach: no gate counts it).
- `key`: the salt, in hex; `key_sha256`, the sha256 of that text, is written before the first answer. The salt decides
  the sides (`left_items`): they cannot be chosen afterwards.
- `item`: 0 to n_items − 1. A session may end early: the sequential test does.
- `arms`: what lay where, written when the session ends; in mode `protocol` it is {"shown": "X"}.
- `answer`: `left`, `right`, `cant_tell`; in mode `protocol` a score, 0 to 3.
- `repeat_of`: the earlier item that this one shows again, sides swapped; a fifth of the items has a repeat.
- `catch`: this item has one right answer, `right`, which is a score in mode `protocol`; a tenth of the items.
- `seconds`: time taken to answer.
"""

from twin.ratings.reading import read_sessions
from twin.ratings.session import CANT_TELL, Answer, Mode, Session, left_items
from twin.ratings.validity import void

__all__ = ["CANT_TELL", "Answer", "Mode", "Session", "left_items", "read_sessions", "void"]
