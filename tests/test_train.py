"""An update is exact, a run is stable and repeatable, and what is saved is what was trained and the best of it."""

import csv
import json
import math
from dataclasses import replace
from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from bench.arrays import held_bytes
from stages import train as stage
from stages.train import Settings, loop, validation
from stages.train.outcome import Status
from stages.train.ranks import Ranks
from stages.train.report import curves, metrics
from stages.train.trainer import Trainer
from tests.conftest import make_base, make_rows
from twin.config.adapter import AdapterConfig, Kind
from twin.config.optimizer import OptimizerConfig
from twin.config.train import TrainConfig
from twin.errors import TrainError
from twin.likelihood import nats_per_token, score
from twin.model import adapt, load_base, split_head, trainable
from twin.tokens import encode
from twin.training.checkpointing import checkpoint_blocks
from twin.training.dropout import Dropouts, KeyedDropout
from twin.training.health import Health
from twin.training.order import plan
from twin.training.save import prove_reload, write_adapter
from twin.training.schedule import learning_rate

ADAPTER = AdapterConfig(Kind.lora, ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"], None, 4, 2.0, 0.05)
OPTIMIZER = OptimizerConfig(learning_rate=5e-3, weight_decay=0.01, warmup=0.05, final=0.01, clip=0.3)
TRAIN = TrainConfig(
    updates=12, batch=8, accumulate=1, packing=False, ranks=1, max_tokens=160, checkpointing=False, validate_every=4,
    validate_examples=8, patience=4, min_delta=0.001, learn_by=None, seed=17,
)  # fmt: skip
ROWS = {"train": make_rows(40), "valid": make_rows(15, seed=1)}


def settings(*, adapter=None, optimizer=None, train=None):
    return Settings(
        replace(ADAPTER, **adapter or {}), replace(OPTIMIZER, **optimizer or {}), replace(TRAIN, **train or {})
    )


def flat(tree):
    return {name: np.array(array) for name, array in tree_flatten(tree)}


class Prepared:
    """A model with trainable layers that already do something, and examples."""

    def __init__(self, folder, *, kind=Kind.lora, dropout=0.0, checkpointing=False, packing=False):
        base = load_base(folder)
        adapt(base.model, replace(ADAPTER, kind=kind, dropout=dropout), seed=1)
        for number, (name, array) in enumerate(sorted(trainable(base.model).items())):
            if name.endswith("lora_b"):
                noise = mx.random.normal(array.shape, key=mx.random.key(number)) * 0.05
                base.model.load_weights([(name, noise)], strict=False)
        dropouts = Dropouts(base.model, dropout)
        if checkpointing:
            checkpoint_blocks(base.model)
        self.model = base.model
        self.examples = [encode(row["messages"], base.tokenizer, row["id"]) for row in ROWS["train"]]
        self.trainer = Trainer(
            self.model, split_head(self.model), self.examples, OPTIMIZER, dropouts, packing=packing, ranks=Ranks()
        )

    def plan(self, **changes):
        inputs = [len(example.tokens) - 1 for example in self.examples]
        config = replace(TRAIN, **changes)
        return plan(inputs, [example.supervised for example in self.examples], config, packing=config.packing)

    def gradients(self, update=0, **changes):
        loss, gradients = self.trainer.gradients(self.plan(**changes).updates[update], 1)
        return loss, flat(gradients)


def relative_error(one, other):
    difference = math.sqrt(sum(float(np.square(one[name] - other[name]).sum()) for name in one))
    return difference / math.sqrt(sum(float(np.square(array).sum()) for array in other.values()))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("base_name", ["tiny_base", "tiny_llama", "tiny_quantized"])
def test_micro_batches_change_neither_loss_nor_gradient(request, base_name, kind):
    prepared = Prepared(request.getfixturevalue(base_name), kind=kind)
    loss, gradients = prepared.gradients(batch=8, accumulate=1)
    for batch in (1, 2):
        other_loss, other = prepared.gradients(batch=batch, accumulate=8 // batch)
        assert other_loss == pytest.approx(loss, rel=1e-5)
        assert relative_error(other, gradients) <= 1e-5


def test_averaging_micro_batch_means_would_be_another_gradient(tiny_base):
    # What the test above must be able to see: the usual accumulation weighs a token by how short its reply is.
    prepared = Prepared(tiny_base)
    _, exact = prepared.gradients(batch=1, accumulate=8)
    singles = prepared.plan(batch=1, accumulate=8).updates[0]
    means = [flat(prepared.trainer.gradients([single], 1)[1]) for single in singles]
    averaged = {name: sum(mean[name] for mean in means) / len(means) for name in exact}
    assert relative_error(averaged, exact) > 1e-2


@pytest.mark.parametrize("base_name", ["tiny_base", "tiny_llama"])
def test_the_head_on_supervised_positions_gives_the_full_models_loss_and_gradient(request, base_name):
    prepared = Prepared(request.getfixturevalue(base_name))
    update = prepared.plan().updates[0]
    rows = [prepared.examples[row] for batch in update for row in batch.rows]

    def plain(model):
        total = 0
        for example in rows:
            logits = model(mx.array([example.tokens[:-1]]))[0, example.prompt_tokens - 1 :]
            total += nn.losses.cross_entropy(logits, mx.array(example.tokens[example.prompt_tokens :])).sum()
        return total / sum(example.supervised for example in rows)

    loss, expected = nn.value_and_grad(prepared.model, plain)(prepared.model)
    found_loss, found = prepared.trainer.gradients(update, 1)
    assert found_loss == pytest.approx(loss.item(), rel=1e-5)
    assert relative_error(flat(found), flat(expected)) <= 1e-5


def test_checkpointed_blocks_are_computed_again_one_after_the_other(tmp_path):
    # MLX's own checkpoint begins many blocks at once: there eight blocks take 1.41 times what two take, here 1.17.
    peaks = []
    for layers in (2, 8):
        prepared = Prepared(make_base(tmp_path / str(layers), layers=layers), checkpointing=True)
        prepared.model.train()
        update = prepared.plan(batch=8).updates[0]
        limit = mx.set_memory_limit(0)  # otherwise the scheduler runs ahead of the arithmetic
        resident = held_bytes()
        prepared.trainer.gradients(update, 1)
        mx.set_memory_limit(limit)
        peaks.append(mx.get_peak_memory() - resident)
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpointing_changes_no_gradient_and_no_other_model(tiny_base, dropout):
    plain = Prepared(tiny_base, dropout=dropout)
    checkpointed = Prepared(tiny_base, dropout=dropout, checkpointing=True)
    plain.model.train()
    checkpointed.model.train()
    assert relative_error(checkpointed.gradients()[1], plain.gradients()[1]) <= 1e-6
    assert type(plain.model.layers[0]) is not type(checkpointed.model.layers[0])


def test_dropout_drops_its_share_by_its_seed_and_only_while_training(tiny_base):
    prepared = Prepared(tiny_base, dropout=0.3)
    update = prepared.plan().updates[0]
    prepared.model.train()
    losses = [prepared.trainer.gradients(update, seed)[0] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    prepared.model.eval()
    assert prepared.trainer.gradients(update, 1)[0] == prepared.trainer.gradients(update, 2)[0]
    dropout = KeyedDropout(0.3).train()
    dropped = np.array(dropout(mx.ones((100, 100))))
    assert np.unique(dropped) == pytest.approx([0, 1 / 0.7])
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.02)


def test_the_rate_warms_up_to_its_peak_and_ends_at_its_final_share():
    config = replace(OPTIMIZER, learning_rate=1.0, warmup=0.1, final=0.01)
    rates = [learning_rate(update, 100, config) for update in range(1, 101)]
    assert rates[:10] == pytest.approx([update / 10 for update in range(1, 11)])
    assert rates[9] == max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.01)
    assert all(later < earlier for earlier, later in pairwise(rates[9:]))
    assert learning_rate(1, 100, replace(config, warmup=0.0)) > 0.99


def test_the_norm_is_of_the_whole_gradient_before_clipping(tiny_base):
    prepared = Prepared(tiny_base)
    update = prepared.plan().updates[0]
    _, gradients = prepared.trainer.gradients(update, 1)
    _, norm = prepared.trainer.update(update, 1e-3, 1)
    assert norm == pytest.approx(math.sqrt(sum(float(np.square(array).sum()) for array in flat(gradients).values())))
    assert norm > OPTIMIZER.clip


@pytest.fixture(scope="module")
def trained(tiny_base):
    return stage.train(tiny_base, ROWS, settings())


def written(folder, trained, base_folder):
    def prove(part):
        prove_reload(part, base_folder, trained.encoded["valid"].examples, trained.adapted_logits, trained.base_logits)

    write_adapter(folder, trained.weights, trained.adapter_config, {"version": 1}, prove)
    return (folder / "adapters.safetensors").read_bytes()


def test_training_learns(trained):
    assert trained.outcome.status is Status.finished
    assert trained.outcome.best_loss < trained.outcome.initial_loss - 0.1


def test_two_runs_give_the_same_bytes(tmp_path, tiny_base, trained):
    again = stage.train(tiny_base, ROWS, settings())
    assert written(tmp_path / "one", trained, tiny_base) == written(tmp_path / "two", again, tiny_base)
    assert curves(trained.outcome) == curves(again.outcome)


def test_another_seed_gives_another_adapter(tiny_base, trained):
    other = stage.train(tiny_base, ROWS, settings(train={"seed": 18, "updates": 4}))
    assert other.outcome.steps[0].loss != trained.outcome.steps[0].loss


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("base_name", ["tiny_llama", "tiny_quantized"])
def test_mlx_lm_loads_what_was_trained(request, tmp_path, base_name, kind):
    import mlx_lm

    folder = request.getfixturevalue(base_name)
    trained = stage.train(folder, ROWS, settings(adapter={"kind": kind}, train={"updates": 4}))
    written(tmp_path / "sft", trained, folder)
    model, _ = mlx_lm.load(str(folder), adapter_path=str(tmp_path / "sft"))
    example = trained.encoded["valid"].examples[0]
    np.testing.assert_allclose(np.array(model(mx.array([example.tokens]))[0]), trained.adapted_logits[0], atol=1e-5)


def test_an_adapter_that_reloads_differently_is_not_written(tmp_path, tiny_base, trained):
    weights = {name: array * 1.01 for name, array in trained.weights.items()}
    with pytest.raises(TrainError, match="does not reproduce the trained one: logits differ by"):
        written(tmp_path / "sft", replace(trained, weights=weights), tiny_base)
    assert not (tmp_path / "sft").exists()


def test_an_adapter_that_changes_nothing_is_not_written(tmp_path, tiny_base, trained):
    zeros = {name: mx.zeros_like(array) for name, array in trained.weights.items()}
    with pytest.raises(TrainError, match="answers exactly as the base does"):
        written(tmp_path / "sft", replace(trained, weights=zeros, adapted_logits=trained.base_logits), tiny_base)


def spoil(monkeypatch, updates):
    """Make the gradients of these updates NaN."""
    original, seen = Trainer.gradients, []

    def gradients(self, micro_batches, seed):
        loss, tree = original(self, micro_batches, seed)
        seen.append(None)
        nan = len(seen) in updates
        return loss, nn.utils.tree_map(lambda array: array * mx.nan, tree) if nan else tree

    monkeypatch.setattr(Trainer, "gradients", gradients)


def test_a_gradient_that_is_not_finite_is_skipped_and_counted(monkeypatch, tiny_base):
    spoil(monkeypatch, {3, 4, 7})
    trained = stage.train(tiny_base, ROWS, settings())
    numbers = metrics(trained.outcome, trained.encoded, trained.plan, {})
    assert (numbers["status"], numbers["updates"]["skipped"]) == ("finished", 3)
    assert all(np.isfinite(np.array(array)).all() for array in trained.weights.values())
    assert trained.outcome.best_loss < trained.outcome.initial_loss


def test_three_skipped_updates_in_a_row_end_the_run_with_its_best(monkeypatch, tiny_base):
    spoil(monkeypatch, {6, 7, 8})
    trained = stage.train(tiny_base, ROWS, settings())
    assert trained.outcome.status is Status.diverged
    assert len(trained.outcome.steps) == 8
    assert trained.outcome.best_loss < trained.outcome.initial_loss
    rows = list(csv.DictReader(curves(trained.outcome).splitlines()))
    assert [row["gradient_norm"] == "" for row in rows] == [False] * 5 + [True] * 3


def test_a_run_that_diverges_before_it_learns_is_an_error(monkeypatch, tiny_base):
    spoil(monkeypatch, {1, 2, 3})
    with pytest.raises(TrainError, match=r"diverged after 3 updates \(3 skipped\) .* Lower optimizer\.learning_rate"):
        stage.train(tiny_base, ROWS, settings())


def test_an_exploding_rate_ends_as_diverged_with_the_best_kept(monkeypatch, tiny_base):
    monkeypatch.setattr(loop, "learning_rate", lambda update, updates, config: 5e-3 if update <= 4 else 1e30)
    trained = stage.train(tiny_base, ROWS, settings())
    assert trained.outcome.status is Status.diverged
    assert trained.outcome.best_update == 4
    assert all(np.isfinite(np.array(array)).all() for array in trained.weights.values())
    numbers = metrics(trained.outcome, trained.encoded, trained.plan, {})
    assert numbers["status"] == "diverged"
    assert "last" not in numbers["valid"]["masked_nats_per_token"]


def test_five_losses_above_three_times_the_median_are_divergence():
    health = Health()
    assert not any(health.diverged(1.0, 1.0) for _ in range(4))
    assert [health.diverged(3.1, 1.0) for _ in range(5)] == [False] * 4 + [True]


def test_a_loss_that_recovers_is_not_divergence():
    health = Health()
    seen = [1.0, 9.0, 9.0, 9.0, 9.0, 1.0, 9.0, 9.0, math.nan, 9.0, 2.9, 9.0]
    assert not any(health.diverged(loss, 1.0) for loss in seen)
    assert not any(health.diverged(math.nan, 1.0) for _ in range(2))
    assert health.diverged(1.0, math.inf)


def test_the_best_weights_are_kept_not_the_first_nor_the_last(monkeypatch, tiny_base):
    # After the second validation the run climbs instead of descending.
    monkeypatch.setattr(loop, "learning_rate", lambda update, updates, config: 5e-3 if update <= 8 else -5e-3)
    trained = stage.train(tiny_base, ROWS, settings())
    outcome = trained.outcome
    assert outcome.best_update == 8
    assert outcome.best_loss < outcome.last_loss
    base = load_base(tiny_base)
    adapt(base.model, ADAPTER, seed=9)
    base.model.load_weights(list(trained.weights.items()), strict=False)
    valid = trained.encoded["valid"].examples
    assert nats_per_token(score(split_head(base.model), valid)) == pytest.approx(outcome.best_loss, rel=1e-6)


def test_training_stops_when_validation_stops_improving(monkeypatch, tiny_base):
    monkeypatch.setattr(loop, "learning_rate", lambda update, updates, config: 5e-3 if update <= 2 else 0.0)
    trained = stage.train(tiny_base, ROWS, settings(train={"updates": 30, "validate_every": 2, "patience": 3}))
    assert trained.outcome.status is Status.early_stopped
    assert len(trained.outcome.steps) == 2 + 3 * 2


def test_a_run_that_has_learned_nothing_ends_at_the_first_validation_from_its_limit_on(monkeypatch, tiny_base):
    monkeypatch.setattr(loop, "learning_rate", lambda update, updates, config: 0.0)
    trained = stage.train(tiny_base, ROWS, settings(train={"updates": 30, "validate_every": 4, "learn_by": 6}))
    assert trained.outcome.status is Status.stalled
    assert len(trained.outcome.steps) == 8


def test_a_run_that_has_learned_passes_that_limit(tiny_base):
    trained = stage.train(tiny_base, ROWS, settings(train={"learn_by": 4}))
    assert trained.outcome.status is Status.finished


def test_interim_validations_see_a_subset_and_the_best_the_whole_split(monkeypatch, tiny_base):
    sizes, original = [], validation.score
    monkeypatch.setattr(
        validation, "score", lambda split, examples: sizes.append(len(examples)) or original(split, examples)
    )
    monkeypatch.setattr(loop, "learning_rate", lambda update, updates, config: 5e-3 if update <= 4 else -5e-3)
    stage.train(tiny_base, ROWS, settings())
    # Before the first update, at the candidate best and at the end 8 and the other 7; only the 8 in between.
    assert sizes == [8, 7, 8, 7, 8, 8, 8, 7]


def test_metrics_are_finite_numbers_and_words_that_dvc_shows(trained):
    numbers = metrics(trained.outcome, trained.encoded, trained.plan, {"alpha": 8.0})
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers

    def leaves(value):
        return [leaf for inner in value.values() for leaf in leaves(inner)] if isinstance(value, dict) else [value]

    assert all(isinstance(leaf, (int, float, str)) for leaf in leaves(numbers))
    assert set(numbers["valid"]) == {"masked_nats_per_token"}
    assert numbers["examples"]["seen"] == 96
    assert numbers["epochs"] == 96 / 40


def test_the_curves_have_a_row_per_update(trained):
    rows = list(csv.DictReader(curves(trained.outcome).splitlines()))
    assert [row["update"] for row in rows] == [str(update) for update in range(1, 13)]
    assert [row["valid_loss"] != "" for row in rows] == [update % 4 == 0 for update in range(1, 13)]
