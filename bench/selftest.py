"""Does the rubric hold on another person? Parts of a real record, plain assistant answers → its self-test, as JSON.

    python -m bench.selftest data/split

The answers are made by rule from the prompt's own words, so that topic does not tell them from the person's; B0 is one
such answer, B1 another with a shorter frame.
"""

import argparse
import json
from pathlib import Path

from stages.evaluate.data import Data
from stages.evaluate.judgement import judged, unjudged
from stages.evaluate.replies import REAL, Reply, fixed, real_replies
from stages.evaluate.rubric import too_few, usual_for
from twin.config.evaluate import EvaluateConfig
from twin.files import read_jsonl, sha256_text
from twin.protocol import protocol

OPENINGS = ("I'd be happy to help with that!", "Certainly, let's look at this.", "Thank you for sharing this.")
FRAMES = (
    "Here are a few things to consider about {words}: first, review {first}; then confirm {last}.",
    "It is important to consider {words}. I would recommend checking {first} before {last}.",
    "Based on what you mention, {words}, a good next step would be to look at {first} and then at {last}.",
)
SHORT = ("Let me help you with {words}.", "I can assist with {first}.", "Could you tell me more about {words}?")
CLOSINGS = (
    "Please let me know if you have any questions!",
    "I hope this helps!",
    "Let me know how you would like to go on.",
)
CONFIG = EvaluateConfig(draws=1000, seed=17, bucket_replies=99)


def answer(reply: Reply, arm: str) -> Reply:
    """Return what a plain assistant would say to the prompt of a reply."""
    dice = int(sha256_text(f"{reply.prompt_set}/{reply.prompt_id}/{arm}"), 16)
    said = [word for word in reply.prompt.split() if len(word) > 3][:6] or ["that"]
    words = {"words": " ".join(said[:4]), "first": said[0], "last": said[-1]}
    frames = (OPENINGS, FRAMES, CLOSINGS) if arm == "B0" else (OPENINGS, SHORT)
    picked = [texts[dice // 10**place % len(texts)] for place, texts in enumerate(frames)]
    return Reply(
        reply.prompt_set, reply.prompt_id, reply.conversation_id, arm, " ".join(picked).format(**words), reply.prompt,
        anchors=reply.anchors, half=reply.half,
    )  # fmt: skip


def answers(replies: list[Reply], arm: str) -> list[Reply]:
    """Return an arm's answers to the prompts of the replies."""
    return [answer(reply, arm) for reply in replies]


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.selftest", description=__doc__)
    parser.add_argument("split", type=Path, help="folder of train, valid, cal and test")
    folder = parser.parse_args().split
    real = {name: real_replies(read_jsonl(folder / f"{name}.jsonl")) for name in ("train", "valid", "cal", "test")}
    prompts = protocol()
    ten = [fixed(prompt, "", "") for prompt in prompts]
    arms = {
        name: {arm: answers(replies, arm) for arm in ("B0", "B1")}
        for name, replies in (("test", real["test"]), ("valid", real["valid"]), ("protocol", ten))
    }
    for name in ("test", "valid"):
        arms[name][REAL] = real[name]
    cal_models = [one for arm in ("B0", "B1") for one in answers(real["cal"], arm)]
    data = Data(
        prompts,
        real["train"],
        real["cal"],
        cal_models,
        arms["test"],
        arms["valid"],
        arms["protocol"],
        real["valid"],
        [],
    )
    usual, rules = usual_for(data.train, data.prompts)
    short = too_few(data.cal, data.cal_models, CONFIG.bucket_replies)
    found = unjudged(data, short, usual, rules) if short else judged(data, usual, rules, CONFIG)
    sizes = {name: len(replies) for name, replies in real.items()}
    print(json.dumps({"replies": sizes, "instrument": found.metrics["instrument"]}, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
