"""Two ranks compute what one process computes, the same on both, and make sure of having the same inputs."""

import math
import pickle
import sys
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest

from stages.train import ranks
from stages.train.launch import LOST, start
from stages.train.ranks import ALONE, Ranks
from tests import rank as program
from tests.test_train import relative_error
from twin.config.adapter import Kind


@pytest.fixture(scope="module")
def pair(tiny_base, tmp_path_factory):
    """What each of two ranks found."""
    folder = tmp_path_factory.mktemp("ranks")
    start(2, folder / "last", [sys.executable, "-m", "tests.rank", str(tiny_base), str(folder)])
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(2)]


def identical(one, other):
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize("kind", Kind)
def test_two_ranks_make_the_update_of_one_process(tiny_base, pair, kind):
    alone = program.updates(tiny_base, kind, ALONE)
    for number in range(2):  # the last one has a single micro-batch: the other rank has none
        (loss, gradients), (again, others) = (one["updates"][kind][number] for one in pair)
        assert loss == pytest.approx(alone[number][0], rel=1e-5)
        assert relative_error(gradients, alone[number][1]) <= 1e-5
        assert loss == again and identical(gradients, others)


def test_a_rank_that_dropped_by_its_own_numbers_would_make_another_update(tiny_base, monkeypatch):
    # What the test above must be able to see.
    alone = program.updates(tiny_base, Kind.lora, ALONE)
    monkeypatch.setattr(
        type(ALONE), "share", lambda self, items: [(7 - number, one) for number, one in enumerate(items)]
    )
    assert relative_error(program.updates(tiny_base, Kind.lora, ALONE)[0][1], alone[0][1]) > 1e-2


def test_validation_is_shared_and_comes_to_the_same(tiny_base, pair):
    whole, one, scored = program.validations(tiny_base, ALONE)
    assert scored == [1, 39, 1]
    assert [found["validations"][2] for found in pair] == [[1, 20, 1], [0, 19, 0]]
    for found in pair:
        assert found["validations"][:2] == (pytest.approx(whole, rel=1e-6), one)
    assert pair[0]["validations"][0] == pair[1]["validations"][0]


def test_two_runs_of_two_ranks_give_the_same_bytes_on_every_rank(pair):
    (weights, best, _), *others = (run for one in pair for run in one["trained"])
    assert all(identical(weights, other) and best == loss for other, loss, _ in others)


def test_two_ranks_learn_what_one_process_learns_and_one_of_them_says_so(tiny_base, pair):
    _, best, printed = program.trained(tiny_base, ALONE)
    assert pair[0]["trained"][0][1] == pytest.approx(best, rel=1e-3)
    assert pair[0]["trained"][0][2].count("update") == printed.count("update") > 0
    assert pair[1]["trained"][0][2] == ""


def test_a_run_goes_on_when_rank_0_alone_has_its_state(pair):
    for one in pair:
        updates, weights = one["resumed"]
        assert updates == program.STOPPED_AT - 1
        assert identical(weights, one["trained"][0][0])


def test_what_rank_0_has_reaches_the_others_bit_for_bit(pair):
    for one in pair:
        assert one["broadcast"] == ("ü", program.bits(program.SENT), [True] * 3)
        assert one["nothing"] == ("", {})


def test_totals_keep_the_shape_of_the_tree_however_they_are_cut(pair):
    for one in pair:
        whole, cut, kind, empty = one["totals"]
        assert kind is tuple and empty[""].shape == (0,)
        assert identical(whole, cut)
        np.testing.assert_array_equal(whole["0.a.1"], np.full((5, 7), 3.0))
        assert whole["1.0"].dtype == np.uint32 and whole["1.0"] == 6
        np.testing.assert_allclose(whole["2"], np.full(9, 1 / 3 + 1 / 4), rtol=1e-6)


def test_a_sum_is_made_in_parts_of_one_type_that_bound_its_memory(monkeypatch):
    monkeypatch.setattr(ranks, "PART_BYTES", 64)
    leaves = {"a": mx.zeros(8), "b": mx.zeros(8), "c": mx.zeros(8), "d": mx.zeros(2, mx.int32), "e": mx.zeros(99)}
    parts = [[name for name, _ in part] for part in ranks._parts(leaves)]
    assert parts == [["a", "b"], ["c"], ["e"], ["d"]]


def test_ranks_with_other_inputs_all_refuse_and_name_them(pair):
    assert pair[0]["disagreement"] == pair[1]["disagreement"]
    assert "rank 1 has other inputs than rank 0: train. Every machine needs" in pair[0]["disagreement"]


def test_a_rank_that_loses_another_ends_with_a_status_of_its_own(monkeypatch, capsys):
    def lost(array, group):
        raise RuntimeError("[ring] connection to a peer was lost")

    monkeypatch.setattr(mx.distributed, "all_sum", lost)
    group = SimpleNamespace(rank=lambda: 1, size=lambda: 2)
    with pytest.raises(SystemExit, match=str(LOST)):  # a TrainError would delete the checkpoint
        Ranks(group).total(mx.array(1.0))
    assert capsys.readouterr().err.startswith("train: rank 1 ends because another did: [ring] connection")


def test_alone_nothing_is_added(tiny_base):
    tree = {"a": mx.array([1.0, math.nan])}
    assert ALONE.total(tree) is tree
    assert ALONE.share("ab") == [(0, "a"), (1, "b")]
    ALONE.agree({"data/split": "same"})
