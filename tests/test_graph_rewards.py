"""Rewards and hashes are those that were published, to their vectors; an outage is no invention."""

import pytest

from twin.errors import DataError, GraphError
from twin.graph import EmbeddedGraph, Triple
from twin.graph.reward import advantage, as_path, kg_reward, path_reward, trajectory_reward
from twin.graph.slices import (
    Policy,
    Slice,
    TurnEdge,
    content_hash,
    drift_hash,
    registry_fingerprint,
    slice_id,
    snapshot_hash,
    token,
    verify,
)
from twin.graph.values import Edge

SECRET = "development_only_secret_not_for_production"
CHAIN = [Edge("spore", "built_with", "swiftui", 0.95), Edge("swiftui", "is_a", "framework", 0.99),
         Edge("framework", "used_by", "director", 0.85)]  # fmt: skip
DOMAINS = {"spore": "mobile", "swiftui": "platform", "framework": "platform", "director": "mobile"}


def known() -> EmbeddedGraph:
    graph = EmbeddedGraph()
    graph.add_all([Triple("a", "uses", "ios app"), Triple("ios-app", "runs", "c"), Triple("c", "near", "d")])
    return graph


def test_the_reward_of_a_shape_is_the_published_one() -> None:
    path = as_path(CHAIN)
    assert path is not None
    assert path_reward(path, domains=DOMAINS) == pytest.approx(0.6398, abs=5e-5)
    assert advantage(path_reward(path, domains=DOMAINS), 0.15, 0.12) == pytest.approx(4.0819, abs=5e-5)
    assert trajectory_reward([path, path]) == pytest.approx(path_reward(path) + 0.025)
    assert advantage(1, 0, 1e-9) == trajectory_reward([]) == 0


def test_an_edge_walked_backwards_is_no_loop() -> None:
    walked = known().traverse("a", direction="both").paths[-1]
    backwards = as_path([CHAIN[0], Edge("framework", "is_a", "swiftui", 0.99), CHAIN[2]])
    assert backwards is not None and backwards.entities == ("spore", "swiftui", "framework", "director")
    assert path_reward(backwards, domains=DOMAINS) == pytest.approx(0.6398, abs=5e-5)
    assert kg_reward(known(), walked).continuity == 2 * (walked.hops - 1)
    assert as_path([CHAIN[0], CHAIN[2]]) is None


@pytest.mark.parametrize(
    ("chain", "target", "composite", "normalised"),
    [
        ([("A", "USES", "ios_app"), ("iOS App", "runs", "c")], "C", 7, 1.0),
        ([("a", "uses", "ios-app"), ("ios-app", "runs", "c")], "d", 5.5, 0.842105),
        ([("a", "uses", "ios-app"), ("ios-app", "runs", "c")], None, 4, 0.684211),
        ([("a", "uses", "ios-app"), ("x", "runs", "c")], None, -6, -0.368421),
        ([("a", "uses", "ios-app")], None, 1, 0.333333),
        ([], None, 0, 0),
    ],
)
def test_the_reward_of_a_grounded_chain_is_the_published_one(
    chain: list[tuple[str, str, str]], target: str | None, composite: float, normalised: float
) -> None:
    made = kg_reward(known(), [Edge(*fact, 1.0) for fact in chain], target)
    assert made.composite == composite and made.normalised == pytest.approx(normalised, abs=1e-6)


def test_an_outage_is_unknown_and_is_forgotten_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, chain = known(), [Edge("a", "uses", "ios-app", 1.0)]
    with monkeypatch.context() as broken:

        def fail(*_: object, **__: object) -> None:
            raise GraphError("no answer")

        broken.setattr(graph, "query", fail)
        made = kg_reward(graph, chain, "ios-app")
    assert (made.steps, made.validity, made.composite, made.normalised) == ((None,), None, None, None)
    assert made.outage == "no answer" and kg_reward(graph, chain, "ios-app").composite == 4


def turn(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


def example() -> Slice:
    ref = Policy().ref()
    made = slice_id(turn(1), [turn(2), turn(1)], [TurnEdge(turn(1), turn(2), "Reply")], ref, "1.0.0")
    snapshot = snapshot_hash({turn(2): content_hash("world\r\n"), turn(1): content_hash("hello")}, 1)
    text = "a0cf4b728ea610b8216610b0cdb5c918"
    return Slice(made, turn(1), (turn(1), turn(2)), 1, ref.policy_id, ref.params_hash, "1.0.0", snapshot, text)


def test_hashes_and_tokens_are_those_of_an_independent_port() -> None:
    made, ref = example(), Policy().ref()
    assert (ref.params_hash, made.slice_id) == ("02005444cae1117d", "6b777bdb89231eae")
    assert (registry_fingerprint([]), registry_fingerprint([ref])) == ("ccab0b28617f1f56", "21824822487c24ac")
    assert (made.graph_snapshot_hash, drift_hash(1000, 2, 1)) == ("28cae45eb23b2443", "0892bc383732045c")
    assert token(made, SECRET) == made.admissibility_token and verify(made, SECRET)


def test_a_token_of_another_secret_or_slice_is_not_valid() -> None:
    from dataclasses import replace

    made = example()
    assert not verify(made, "another") and not verify(replace(made, slice_id="0"), SECRET)
    assert not verify(replace(made, admissibility_token="no hex"), SECRET)
    with pytest.raises(DataError, match=r"holds `\|`"):
        verify(replace(made, policy_id="a|b"), SECRET)
