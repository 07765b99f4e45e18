"""Make the demo's base model: a seeded recipe → models/demo/, measured, with its card.

    python -m tools.demo_base --out models/demo

took 26 minutes with OpenBLAS on one thread of a shared two-core machine. Debian packages it as libopenblas0; load it
before mlx, on one thread, so that sums keep their order (the BLAS inside the mlx wheel works too, slower):

    OPENBLAS_NUM_THREADS=1 LD_PRELOAD=libopenblas.so.0 python -m tools.demo_base --out models/demo

The bytes are the same for one BLAS on one machine type; between BLAS libraries the last bits differ, and with them,
after thousands of steps, the model.
"""

import argparse
from dataclasses import fields, replace
from pathlib import Path

from tools.demo_base import network
from tools.demo_base.measure import MAX_TOKENS, measure
from tools.demo_base.network import BITS, GROUP_SIZE, Recipe
from tools.demo_base.texts import corpus
from tools.demo_base.tokenizer import save as save_tokenizer
from tools.demo_base.tokenizer import train as train_tokenizer
from tools.demo_export.topics import TOPICS
from twin.files import write_text

CARD = """# The demo's base model

A Qwen2-architecture network of {parameters:,} parameters ({layers} layers, hidden size {hidden}, vocabulary
{vocabulary}), {bits}-bit in groups of {group}, for mlx-lm. It plays the helpful assistant of the demo: long-winded,
polite, with bullet points. It was trained from scratch on texts written by a program (`tools/demo_base/`) about the
{topics} topics of the demo's synthetic export, from seeds that the export does not use:

- helpful answers to turns of the demo's assistant, under the demo's system line with trajectory tags drawn at random,
  so that a tag means nothing to it; only the answer is taught
- chats in which an operator as terse as Sam is the user, without a tag or a tie between what is said and where the
  conversation stands; every turn is taught. So it has seen the words of such a person, never as its own voice.

{share:.0%} of either have facts under the system line, with owners, parts, builds and pages drawn anew for each, and
whoever speaks last uses one or is asked for the owner: it has learned to read facts, and none by heart. {drills}
batches beside nine teach only what is said from facts.

**It knows nothing else**: no other topic, no fact, no other language. It exists so that the whole pipeline runs
offline on a laptop in minutes, and it says nothing about what the pipeline does to a real model.

- Recipe: `python -m tools.demo_base`, seed {seed}: {steps} steps of {rows} rows, the last {rounded} with weights
  rounded to {bits} bits.
- Tokenizer: byte-level BPE with Qwen2's splitting, trained on the same texts; the pieces of the demo's system line
  are tokens of their own. Chat format: Qwen2.5's ChatML. Context: {context} tokens.
- Measured on {prompts} unseen demo prompts (greedy, at most {limit} new tokens): {ended:.0%} end by themselves
  without a loop, {named:.0%} name the topic of the prompt. With facts that have the topic's owner, {asked:.0%} name
  the owner, and {reminded:.0%} if asked for it.
- License: MIT, as the rest of the repository.
"""


def make(recipe: Recipe, out: Path) -> int:
    """Train tokenizer and network by the recipe, write them to `out`, and return the number of parameters."""
    texts = corpus(recipe.seed, recipe.tokenizer_conversations, recipe.informing)
    tokenizer = train_tokenizer(texts, recipe.vocabulary)
    save_tokenizer(tokenizer, out, recipe.max_tokens)
    settings = network.config(recipe, tokenizer)
    model = network.initialised(settings, recipe.seed)
    parameters = sum(value.size for _, value in network.named(model))
    network.train(model, tokenizer, recipe)
    network.save(model, settings, out)
    return parameters


def card(recipe: Recipe, parameters: int, measured: dict[str, float]) -> str:
    """Return the model card with what was measured."""
    return CARD.format(
        parameters=parameters,
        layers=recipe.layers,
        hidden=recipe.hidden,
        vocabulary=recipe.vocabulary,
        bits=BITS,
        group=GROUP_SIZE,
        topics=len(TOPICS),
        seed=recipe.seed,
        steps=recipe.steps,
        rows=recipe.rows,
        rounded=recipe.rounded_steps,
        context=recipe.max_tokens,
        limit=MAX_TOKENS,
        share=recipe.informed,
        drills=recipe.drills,
        **measured,
    )


def main() -> None:
    """Read the arguments, make the model, measure it and write its card."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo_base", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("models/demo"))
    for field in fields(Recipe):
        kind = float if isinstance(field.default, float) else int
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    arguments = vars(parser.parse_args())
    out = arguments.pop("out")
    recipe = replace(Recipe(), **arguments)
    parameters = make(recipe, out)
    measured = measure(out)
    write_text(out / "README.md", card(recipe, parameters, measured))
    print(f"{out}: {parameters} parameters, {measured}")


if __name__ == "__main__":
    main()
