"""What each rank of tests/test_ranks.py computes: `python -m tests.rank BASE FOLDER` → FOLDER/<rank>.pickle."""

import io
import os
import pickle
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import mlx.core as mx

from stages import train as stage
from stages.train import ranks
from stages.train import validation as validation_module
from stages.train.state import FORM
from stages.train.trainer import Trainer
from stages.train.validation import Marks, Validation
from tests.test_train import ROWS, TRAIN, Prepared, flat, settings
from twin.config.adapter import Kind
from twin.errors import ProvenanceError
from twin.model import split_head
from twin.training import checkpoint

STOPPED_AT = 7
SETTINGS = settings(train={"batch": 4, "accumulate": 2})
SENT = {
    "floats": mx.array([-0.0, 0.0, mx.nan, mx.inf]), "step": mx.array(2**40, mx.uint64),
    "half": mx.full((2, 3), 1 / 3, mx.bfloat16),
}  # fmt: skip


def bits(arrays):
    return {name: (array.shape, bytes(array.reshape(-1).view(mx.uint8))) for name, array in arrays.items()}


def updates(base, kind, group):
    """Loss and gradient of a whole update, and of the one with a single micro-batch."""
    prepared = Prepared(base, kind=kind, dropout=0.3)
    prepared.trainer._ranks = group
    prepared.model.train()
    laid_out = prepared.plan(batch=4, accumulate=3, updates=8).updates
    found = [prepared.trainer.gradients(choose(laid_out, key=len), 1) for choose in (max, min)]
    return [(loss, flat(gradients)) for loss, gradients in found]


def validations(base, group):
    """Loss on the whole split and nats of a subset of one example; how many examples were scored here for them."""
    prepared, config = Prepared(base), replace(TRAIN, validate_examples=1)
    split = split_head(prepared.model)
    validation = Validation(prepared.model, split, prepared.examples, config, Marks(), ranks=group)
    scored, score = [], validation_module.score
    validation_module.score = lambda split, rows: scored.append(len(rows)) or score(split, rows)
    whole, (one,) = validation.whole(), validation._score(validation._subset)
    validation_module.score = score
    return whole, one.total_nats, scored


def trained(base, group):
    with redirect_stdout(io.StringIO()) as printed:
        done = stage.train(base, ROWS, SETTINGS, ranks=group)
    return flat(done.weights), done.outcome.best_loss, printed.getvalue()


def resumed(base, group):
    """A run that ends in the middle and goes on, of which rank 0 alone kept the state."""
    original, calls = Trainer.update, []

    def update(self, *arguments):
        calls.append(None)
        if len(calls) == STOPPED_AT:
            raise KeyboardInterrupt
        return original(self, *arguments)

    checkpoint.EVERY_S, Trainer.update = 0.0, update
    while True:
        try:
            with checkpoint.open_checkpoint({"rank": group.rank}, FORM) as kept:
                done = stage.train(base, ROWS, SETTINGS, kept if group.rank == 0 else None, group)
            return done.resumed, flat(done.weights)
        except KeyboardInterrupt:
            assert len(calls) == STOPPED_AT, "it goes on once"


def totals(group):
    tree = ({"a": [{}, mx.full((5, 7), 1.0 + group.rank)]}, [mx.array(3, mx.uint32)], mx.ones(9) / (3 + group.rank))
    whole = group.total(tree)
    ranks.PART_BYTES = 64
    return [flat(whole), flat(group.total(tree)), type(whole), flat(group.total(mx.zeros(0)))]


def disagreement(group):
    try:
        group.agree({"data/split": "same", "train": {"seed": group.rank}})
    except ProvenanceError as error:
        return str(error)
    return None


def main():
    base, folder = map(Path, sys.argv[1:])
    group = ranks.join(2)
    os.environ["DVC_ROOT"] = str(folder / f"root{group.rank}")
    group.agree({"data/split": "same", "train": {"seed": 17}})
    text, arrays = group.broadcast(*(("ü", SENT) if group.rank == 0 else ("other", {})))
    found = {
        "updates": {kind: updates(base, kind, group) for kind in Kind},
        "validations": validations(base, group),
        "broadcast": (text, bits(arrays), [array.dtype == SENT[name].dtype for name, array in arrays.items()]),
        "nothing": group.broadcast("", {}),
        "disagreement": disagreement(group),
        "trained": [trained(base, group) for _ in range(2)],
        "resumed": resumed(base, group),
        "totals": totals(group),
    }
    (folder / f"{group.rank}.pickle").write_bytes(pickle.dumps(found))
    group.wait()
    if group.rank == 0:
        (folder / "last").touch()


if __name__ == "__main__":
    main()
