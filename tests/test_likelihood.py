"""One scorer: its numbers are the plain definition's, whatever shares a batch, and padding counts for nothing."""

import mlx.core as mx
import numpy as np
import pytest

from tests.conftest import make_rows
from twin.likelihood import collate, nats_per_token, score, token_nats
from twin.model import load_base, split_head
from twin.tokens import encode

BASES = ["tiny_base", "tiny_llama", "tiny_quantized"]


@pytest.fixture(params=BASES)
def scored(request):
    base = load_base(request.getfixturevalue(request.param))
    examples = [encode(row["messages"], base.tokenizer, row["id"]) for row in make_rows(20)]
    return base, examples


def plain_nats(model, example):
    logits = np.array(model(mx.array([example.tokens[:-1]]))[0].astype(mx.float32), dtype=np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    places = range(example.prompt_tokens - 1, len(example.tokens) - 1)
    return -sum(log_probabilities[place, example.tokens[place + 1]] for place in places)


def test_batched_scores_are_those_of_each_reply_alone_by_definition(scored):
    base, examples = scored
    likelihoods = score(split_head(base.model), examples)
    assert [one.tokens for one in likelihoods] == [example.supervised for example in examples]
    expected = [plain_nats(base.model, example) for example in examples]
    np.testing.assert_allclose([one.total_nats for one in likelihoods], expected, rtol=2e-5)


def test_padding_adds_nothing(scored):
    base, examples = scored
    split, example = split_head(base.model), examples[0]
    tight = token_nats(split, collate([example], len(example.tokens) - 1, example.supervised))
    padded = token_nats(split, collate([example], len(example.tokens) + 30, example.supervised + 9))
    assert padded[example.supervised :].tolist() == [0.0] * 9
    np.testing.assert_allclose(padded.sum().item(), tight.sum().item(), rtol=1e-6)


def test_the_mean_weighs_tokens_not_replies(scored):
    base, examples = scored
    likelihoods = score(split_head(base.model), examples)
    total = sum(plain_nats(base.model, example) for example in examples)
    tokens = sum(example.supervised for example in examples)
    assert nats_per_token(likelihoods) == pytest.approx(total / tokens, rel=2e-5)


def test_a_model_that_is_more_than_body_and_projection_is_scored_whole(tiny_base):
    base = load_base(tiny_base)
    plain = type(base.model)

    class Capped(plain):
        def __call__(self, *args, **kwargs):
            return mx.tanh(super().__call__(*args, **kwargs) / 3) * 3

    base.model.__class__ = Capped
    example = encode(make_rows(1)[0]["messages"], base.tokenizer, "x")
    assert score(split_head(base.model), [example])[0].total_nats == pytest.approx(
        plain_nats(base.model, example), rel=1e-5
    )
