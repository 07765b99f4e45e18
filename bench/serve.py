"""`twin serve` beside mlx_lm.server: the same base, adapter, prompt and greedy reply, asked in turn over HTTP.

First token and tokens a second are the client's; `cpu_s` is the processor's time of the server for one reply, which
other work on the machine disturbs least. Each prompt is asked of both, one after the other, who comes first
changing; what counts is the ratio of each pair. Then, in this process: what kept keys and values save over a
conversation, and how long a swap of adapters takes.

python -m bench.serve [--rounds 24] [--tokens 48]        needs models/adapter: dvc repro align
"""

import argparse
import datetime
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from mlx_lm.utils import load_tokenizer

from bench.live_models import DEMO, make_voice, make_wide, ours, running, theirs
from bench.machine import blas, describe
from twin.config.adapter import Kind
from twin.config.augment import Tags
from twin.context import build_context
from twin.embedder import restore
from twin.files import read_json, write_json
from twin.live import Options
from twin.live.load import load_voices
from twin.live.settings import VoiceSettings
from twin.live.twin import turns_of
from twin.model import attach, load_base
from twin.prompt import Message, PromptRecipe
from twin.tokens import prompt_tokens

RESULTS = Path("bench/results/serve.json")
ADAPTER = Path("models/adapter")
WARM_UP = 3
MEASURED = ("first_s", "tokens_per_s", "whole_s", "cpu_s")
SAID = ("The deploy failed with a 503 error on the staging server.", "drain the old node first",
        "The readiness probe times out after ten seconds now.", "raise it and roll again",
        "Should we keep the queue running while the index is rebuilt?", "no. stop the workers")  # fmt: skip


def conversation(number: int, turns: int) -> list[Message]:
    """Return a conversation of its own that ends with the user."""
    texts = [f"{text} ({number})" for text in itertools.islice(itertools.cycle(SAID), turns)]
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def shown(adapter: Path, messages: list[Message]) -> list[Message]:
    """Return the messages as the twin's recipe writes them: what the other server is asked."""
    recipe = PromptRecipe.from_json(read_json(adapter / "recipe.json")["prompt"])
    return build_context(turns_of(messages), recipe, restore(recipe.embedder).embed).prompt.messages


def asked(http: httpx.Client, url: str, body: dict[str, Any], count: Callable[[str], int]) -> dict[str, Any]:
    """Ask for a streamed reply and return its text and times.

    Tokens a second are those of the text that came after the first piece, which may be of several.
    """
    body |= {"temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
    started_s, times, pieces, usage = time.perf_counter(), [], [], {}
    with http.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            usage = chunk.get("usage") or usage
            piece = chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None
            if piece:
                times.append(time.perf_counter())
                pieces.append(piece)
    spoken_s = times[-1] - times[0]
    return {"text": "".join(pieces), "first_s": times[0] - started_s, "whole_s": time.perf_counter() - started_s,
            "tokens": usage["completion_tokens"], "prompt_tokens": usage["prompt_tokens"],
            "first_tokens": count(pieces[0]),
            "tokens_per_s": count("".join(pieces[1:])) / spoken_s if spoken_s else 0.0}  # fmt: skip


def beside(base: Path, adapter: Path, rounds: int, tokens: int, turns: int) -> dict[str, Any]:
    """Ask both servers the same, in turn."""
    mine, theirs_ = ours(adapter, "--graph", "none"), theirs(base, adapter)
    tokenizer, rows = load_tokenizer(base), []

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    with (
        running(*mine) as (one, my),
        running(*theirs_) as (other, their),
        httpx.Client(trust_env=False, timeout=120) as http,
    ):
        for number in range(rounds + WARM_UP):
            messages = conversation(number, turns)
            pair = [("ours", one, my, "twin", messages),
                    ("theirs", other, their, "default_model", shown(adapter, messages))]  # fmt: skip
            row = {}
            for name, url, process, model, said in pair if number % 2 else reversed(pair):
                before_s = sum(process.cpu_times()[:2])
                row[name] = asked(http, url, {"model": model, "messages": said, "max_tokens": tokens}, count)
                row[name]["cpu_s"] = sum(process.cpu_times()[:2]) - before_s
            if number >= WARM_UP:
                rows.append(row)
    return {"rounds": rounds, "prompt_tokens": rows[0]["ours"]["prompt_tokens"],
            "same_text": sum(row["ours"]["text"].strip() == row["theirs"]["text"].strip() for row in rows),
            "first_tokens": {
                who: statistics.mean(row[who]["first_tokens"] for row in rows) for who in ("ours", "theirs")
            },
            "same_prompt": all(row["ours"]["prompt_tokens"] == row["theirs"]["prompt_tokens"] for row in rows),
            "reply_tokens": statistics.median(row["ours"]["tokens"] for row in rows),
            **{key: compared(rows, key) for key in MEASURED}}  # fmt: skip


def compared(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
    rows = [row for row in rows if row["ours"][key] and row["theirs"][key]]
    ratios = [row["ours"][key] / row["theirs"][key] for row in rows]
    return {"ours": spread([row["ours"][key] for row in rows]), "theirs": spread([row["theirs"][key] for row in rows]),
            "ratio": spread(ratios)}  # fmt: skip


def spread(values: list[float]) -> dict[str, float]:
    quarters = statistics.quantiles(values, n=4)
    return {"median": statistics.median(values), "quarter": quarters[0], "three_quarters": quarters[2],
            "min": min(values), "max": max(values)}  # fmt: skip


def kept(adapter: Path, tags: Tags, rounds: int) -> dict[str, Any]:
    """Return first tokens of a conversation's turns, with what is kept and without, by turns."""
    none, plenty = (VoiceSettings(kept_tokens=tokens, adapters={}, routes=[]) for tokens in (0, 16384))
    recipe, warm = load_voices(adapter, None, plenty)
    _, cold = load_voices(adapter, None, none)
    recipe = replace(recipe, tags=tags, context_turns=10)
    embed = restore(recipe.embedder).embed
    rows, saved, asked_tokens = [], 0, 0
    for number in range(rounds):
        for turns in range(1, 10, 2):
            context = build_context(turns_of(conversation(number, turns)), recipe, embed)
            prompt = prompt_tokens(context.prompt.messages, warm.tokenizer)
            row = {}
            for name, engine in (("with", warm), ("without", cold))[:: 1 if number % 2 else -1]:
                if name == "without":
                    engine._shelf._kept.clear()
                started_s = time.perf_counter()
                text = [step.text for step in itertools.islice(engine.steps(prompt, Options(2), engine.names[0]), 1)]
                row[name] = time.perf_counter() - started_s
                row[f"{name}_text"] = text
            assert row["with_text"] == row["without_text"]
            saved += warm.kept_tokens
            asked_tokens += len(prompt)
            rows.append(row)
    ratios = [row["without"] / row["with"] for row in rows]
    times = {f"{name}_s": spread([row[name] for row in rows]) for name in ("with", "without")}
    return {
        "tags": tags.name,
        "share_of_prompt_kept": saved / asked_tokens,
        "without_over_with": spread(ratios),
        **times,
    }


def swapped(base: Path, adapter: Path, other: Path, rounds: int) -> dict[str, Any]:
    """Return how long a swap takes, and how long loading the base and the adapter anew would."""
    voices = VoiceSettings(kept_tokens=0, adapters={"other": str(other)}, routes=[])
    _, engine = load_voices(adapter, None, voices)
    swaps = [engine.swap(name) for _ in range(rounds) for name in ("other", engine.names[0])]
    anew = []
    for _ in range(3):
        started_s = time.perf_counter()
        attach(load_base(base), other)
        anew.append(time.perf_counter() - started_s)
    return {"swap_s": spread(swaps), "anew_s": spread(anew)}


def show(name: str, row: dict[str, Any]) -> None:
    print(f"\n{name}: {row['prompt_tokens']} tokens of prompt, {row['reply_tokens']:.0f} of reply, same text in "
          f"{row['same_text']} of {row['rounds']}, same prompt {row['same_prompt']}, tokens in the first piece "
          f"{row['first_tokens']['ours']:.2f} and {row['first_tokens']['theirs']:.2f}")  # fmt: skip
    print(f"{'':14}{'ours':>26}{'mlx_lm.server':>26}{'ratio, quarters':>26}")
    for key in MEASURED:
        cells = [row[key][who] for who in ("ours", "theirs", "ratio")]
        print(
            f"{key:14}" + "".join(f"{c['median']:12.4g} ({c['quarter']:.3g}–{c['three_quarters']:.3g})" for c in cells)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--parts", nargs="+", default=["swap", "kept", "beside"])
    given = parser.parse_args()
    found: dict[str, Any] = read_json(RESULTS) if RESULTS.exists() else {}
    found |= {"date": datetime.date.today().isoformat(), "machine": describe(), "blas": blas()}
    with tempfile.TemporaryDirectory() as folder:
        wide = make_wide(Path(folder) / "wide")
        lora, dora = (make_voice(Path(folder) / kind.value, wide, kind) for kind in (Kind.lora, Kind.dora))
        for part in given.parts:
            if part == "swap":
                found[part] = swapped(wide, lora, dora, 50)
                print(f"swap {found[part]['swap_s']['median'] * 1e3:.3f} ms, "
                      f"anew {found[part]['anew_s']['median'] * 1e3:.0f} ms")  # fmt: skip
            elif part == "kept":
                found[part] = [kept(lora, tags, max(2, given.rounds // 10)) for tags in (Tags.none, Tags.context)]
                for row in found[part]:
                    print(f"kept, tags {row['tags']}: {row['share_of_prompt_kept']:.0%} of the prompts; first token "
                          f"without {row['without_over_with']['median']:.2f} times as long")  # fmt: skip
            else:
                found[part] = {}
                for name, base, adapter, turns in (
                    ("demo", DEMO, ADAPTER, 1), ("demo, 9 turns", DEMO, ADAPTER, 9), ("10 M", wide, lora, 9)
                ):  # fmt: skip
                    rounds = given.rounds if base == DEMO else max(3, given.rounds // 3)
                    found[part][name] = beside(base, adapter, rounds, given.tokens, turns)
                    show(name, found[part][name])
            write_json(RESULTS, found)


if __name__ == "__main__":
    main()
