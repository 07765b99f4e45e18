"""What both sides are given: a random model as an MLX folder, and chat rows whose lengths are known to the token.

The tokenizer has one token per byte, so that a text of n ASCII letters is n tokens; its ids are the first of the
vocabulary, whose rows cost the same whichever are used.
"""

import json
import math
import random
import sys
from pathlib import Path
from statistics import NormalDist
from typing import Any

from bench.train.cases import MIXED_MEDIAN, MIXED_SIGMA, SHAPES, SUPERVISED_SHARE, Case, Model
from twin.files import write_jsonl

# As Qwen2.5's, without the newline that it puts behind a turn: mlx-lm would supervise that too, and the losses of
# the two sides could not be compared.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SYSTEM = "Sam."
AROUND_TOKENS = len(f"#system\n{SYSTEM}##user\n##assistant\n")  # of an example; # stands for a special token
GROUP = 64


def make_model(model: Model, folder: Path) -> None:
    """Write a random model, an array at a time: a whole 7B never lies in memory in full precision."""
    import mlx.core as mx
    from mlx import nn
    from mlx.utils import tree_flatten
    from mlx_lm.models import qwen2

    config = SHAPES[model.shape] | {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": model.layers,
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 32768,
    }  # fmt: skip
    mx.random.seed(0)
    made = qwen2.Model(qwen2.ModelArgs.from_dict(config))
    # Half precision is what a GPU is given and what a CPU computes slowest.
    made.set_dtype(mx.float32 if mx.default_device().type == mx.cpu else mx.bfloat16)
    if model.bits:
        assert model.head_bits in {None, model.bits}
        blocks = (
            None if model.head_bits else lambda path, module: ".layers." in path and hasattr(module, "to_quantized")
        )
        nn.quantize(made, group_size=GROUP, bits=model.bits, class_predicate=blocks)
        config["quantization"] = {"group_size": GROUP, "bits": model.bits}
    weights = dict(tree_flatten(made.parameters()))
    for array in weights.values():
        mx.eval(array)
        mx.clear_cache()
    folder.mkdir(parents=True)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    make_tokenizer(folder)


def make_tokenizer(folder: Path) -> None:
    """Write a byte-level tokenizer that merges nothing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(vocabulary)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)


def make_rows(case: Case, folder: Path) -> None:
    """Write the examples of a case, one epoch of its updates.

    Of one length: the same example every time, so that the first losses of both sides are of the same tokens.
    """
    seeds = [0] * case.rows if case.inputs else list(range(case.rows))
    rows = [row(number, *sized) for number, sized in enumerate(zip(example_tokens(case), seeds, strict=True))]
    write_jsonl(folder / "train.jsonl", rows)


def example_tokens(case: Case) -> list[int]:
    """Return the length of each example; the body computes one position less."""
    return [case.inputs + 1] * case.rows if case.inputs else _mixed_tokens(case.rows)


def supervised_tokens(case: Case) -> int:
    """Return the number of supervised tokens in an epoch of a case."""
    counts = [tokens - 1 if case.everything else _reply_tokens(tokens) for tokens in example_tokens(case)]
    return sum(counts)


def _reply_tokens(tokens: int) -> int:
    return max(2, round(SUPERVISED_SHARE * tokens))


def _mixed_tokens(count: int) -> list[int]:
    """Return the quantiles of the log-normal distribution, shuffled."""
    normal = NormalDist(math.log(MIXED_MEDIAN), MIXED_SIGMA)
    lengths = [round(math.exp(normal.inv_cdf((number + 0.5) / count))) for number in range(count)]
    random.Random(0).shuffle(lengths)
    return lengths


def row(number: int, tokens: int, seed: int) -> dict[str, Any]:
    """Return a chat row of exactly so many tokens, a fifth of them the reply and its stop token."""
    rng = random.Random(seed)
    reply_tokens = _reply_tokens(tokens)
    user = tokens - AROUND_TOKENS - reply_tokens
    contents = {"system": SYSTEM, "user": _letters(user, rng), "assistant": _letters(reply_tokens - 1, rng)}
    return {
        "id": f"r{number:04}",
        "messages": [{"role": role, "content": content} for role, content in contents.items()],
    }


def _letters(count: int, rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=count))


def main() -> None:
    """Write one model: its fields as JSON, the folder it goes into."""
    fields, work = sys.argv[1:]
    model = Model(**json.loads(fields))
    make_model(model, Path(work) / model.name)


if __name__ == "__main__":
    main()
