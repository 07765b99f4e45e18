"""The model embedders: right against NumPy and published values, no text feels another, nothing is cut or fetched."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.minilm import make_bert, oracle, weights_folder
from twin.config.embedder import Embedder as Kind
from twin.config.embedder import EmbedderConfig, contradictions
from twin.embedder import embedder, files, identity, restore
from twin.embedder.batches import encode, padded_length
from twin.embedder.bert import MiniLM
from twin.embedder.model import ModelEmbedder
from twin.errors import ConfigError, ModelError
from twin.files import canonical_json

DEMO = Path(__file__).parents[1] / "models/demo"
TEXTS = [
    "ship it", "No. Revert the migration first.", "", "the cache", "deploying " * 60, "ship", " \n", "ship it",
    "x" * 90, "[SEP] is text", "ship it now. " * 9, "\ud800 lone", "revert",
]  # fmt: skip


def config(kind: str, folder: Path | None, tokens_max: int = 16, **more: Any) -> EmbedderConfig:
    values = {"dimensions": None, "id": "some/model", "revision": None, "tokens_max": tokens_max} | more
    return EmbedderConfig(kind=Kind(kind), folder=None if folder is None else str(folder), **values)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the cache lies under the working folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("bert") / "tiny")


@pytest.fixture(params=["minilm", "states"])
def made(request: pytest.FixtureRequest, bert: Path) -> EmbedderConfig:
    return config(request.param, bert if request.param == "minilm" else DEMO)


@pytest.mark.parametrize("batch_tokens", [1, 128, 512])
def test_a_text_does_not_feel_its_company_its_order_or_its_place(made: EmbedderConfig, batch_tokens: int) -> None:
    model = restore(identity(made), made.folder)
    assert isinstance(model, ModelEmbedder)
    model._encoder.batch_tokens = batch_tokens
    many = TEXTS * 3 + [f"ship {number} the cache" for number in range(70)]
    whole = dict(zip(many, model.embed(many), strict=True))
    assert model.embed(many).dtype == np.float64
    for text in TEXTS:
        assert np.array_equal(model.embed([text])[0], whole[text]), text
    for seed in range(3):
        some = random.Random(seed).sample(many, 25)
        assert np.array_equal(model.embed(some), np.stack([whole[text] for text in some]))


def test_the_shape_that_a_text_is_read_in_follows_from_its_own_length(bert: Path) -> None:
    # A plain CPU does not show another shape in the bits; another BLAS or a GPU may.
    encoder = MiniLM(bert, 16)
    encoder.batch_tokens = 64
    means, shapes = encoder.means, []
    encoder.means = lambda batch: (shapes.append(batch.tokens_B_L.shape), means(batch))[1]  # type: ignore[method-assign]
    alone = {text: (list(encode(encoder, [text])), shapes.copy(), shapes.clear())[1] for text in TEXTS}
    assert alone["ship"] == [(8, 8)] and alone["deploying " * 60][-1] == (4, 16)
    list(encode(encoder, TEXTS * 3))
    assert set(shapes) == {shape for seen in alone.values() for shape in seen}


def test_an_empty_text_is_zero_and_no_text_has_no_row(made: EmbedderConfig) -> None:
    model = restore(identity(made), made.folder)
    states = model.embed(["", " \n", "ship"])
    assert not states[:2].any() and states[2].any()
    assert model.embed([]).shape == (0, states.shape[1])


def test_vectors_are_those_of_bert_in_numpy(bert: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = ["ship it", "No. Revert the migration first.", "caches", "the cache deploying now."]
    states = restore(identity(config("minilm", bert)), str(bert)).embed(texts)
    for text, state in zip(texts, states, strict=True):
        mean = oracle(bert, tokenizer.encode(text).ids)
        assert np.abs(state - mean / np.linalg.norm(mean)).max() < 1e-5, text


def test_a_long_text_is_the_mean_over_the_tokens_of_its_pieces(bert: Path) -> None:
    text = "ship it now. " * 5  # 20 tokens in pieces of 14 and 6, each between [CLS] and [SEP]
    ids = [4, 5, 6, 16] * 5
    pieces = [[2, *ids[:14], 3], [2, *ids[14:], 3]]
    mean = sum(oracle(bert, piece) * len(piece) for piece in pieces) / 24
    state = restore(identity(config("minilm", bert)), str(bert)).embed([text])[0]
    assert np.abs(state - mean / np.linalg.norm(mean)).max() < 1e-5


def test_a_special_token_that_a_person_typed_is_text(bert: Path) -> None:
    minilm = restore(identity(config("minilm", bert)), str(bert))
    one, two = minilm.embed(["ship [SEP] it", "ship [ sep ] it"])
    assert np.array_equal(one, two)
    states = restore(identity(config("states", DEMO)), str(DEMO))
    one, two = states.embed(["go <|im_end|> on", "go < |im_end|> on"])
    assert np.array_equal(one, two)


def test_states_are_the_mean_of_the_last_hidden_states() -> None:
    import mlx.core as mx

    from twin.model import load_base

    base = load_base(DEMO)
    tokens = base.tokenizer.encode("Ship it, then tell me.", add_special_tokens=False)
    hidden = np.array(base.model.model(mx.array([tokens])).astype(mx.float32))[0]
    state = restore(identity(config("states", DEMO, 64)), str(DEMO)).embed(["Ship it, then tell me."])[0]
    assert np.abs(state - hidden.mean(0)).max() < 1e-5 * np.abs(hidden).max()


def test_lengths_are_few_and_never_shorter_than_the_text() -> None:
    lengths = [padded_length(tokens, 512) for tokens in range(1, 513)]
    assert sorted(set(lengths)) == [8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    assert all(length >= tokens for tokens, length in enumerate(lengths, 1))
    assert padded_length(19, 20) == 20


def test_an_identity_is_json_without_a_place_and_brings_the_same_vectors_back(made: EmbedderConfig) -> None:
    first = embedder(made)
    text = canonical_json(dict(first.identity))
    assert first.identity == identity(made) and str(made.folder) not in text
    again = restore(json.loads(text), made.folder)
    assert np.array_equal(again.embed(TEXTS), first.embed(TEXTS))


def test_other_files_are_refused_all_at_once(bert: Path, tmp_path: Path) -> None:
    named = identity(config("minilm", bert))
    other = shutil.copytree(bert, tmp_path / "other")
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    (other / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer.json is missing; config.json is another file.*dvc repro"):
        restore(named, str(other))
    with pytest.raises(ConfigError, match=r"some/model was read from a folder.*augment.embedder.folder"):
        restore(named)


def test_a_recipe_never_fetches_and_a_choice_does(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(repository: str, revision: str, *, download: bool) -> Path:
        asked.append((repository, revision, download))
        return bert

    monkeypatch.setattr(files.base, "snapshot", snapshot)
    chosen = config("minilm", None, revision="a" * 40)
    made = embedder(chosen)
    restore(made.identity)
    identity(chosen)
    assert asked == [("some/model", "a" * 40, download) for download in (True, False, False)]


def test_a_model_that_is_not_here_is_named_with_the_next_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"some/model at a{40} is not on this machine.*dvc repro augment.*folder=PATH"):
        identity(config("minilm", None, revision="a" * 40))
    with pytest.raises(ModelError, match=r"there is no folder .*nowhere"):
        identity(config("minilm", tmp_path / "nowhere"))
    for kind in ("minilm", "states"):
        with pytest.raises(ModelError, match=r"config.json, model.*safetensors, tokenizer.* missing"):
            identity(config(kind, tmp_path))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"model_type": "roberta", "hidden_act": "relu"},
            "model_type is roberta, not bert; hidden_act is relu, not gelu",
        ),
        ({"num_attention_heads": 5}, "hidden_size 16 cannot be shared among 5 heads"),
        ({"vocab_size": 20}, "the tokenizer knows 70 tokens and vocab_size is 20"),
        ({"max_position_embeddings": 12}, "reads at most 12 tokens and augment.embedder.tokens_max is 16"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is relative_key, not absolute"),
        ({"layer_norm_eps": None, "hidden_size": "16"}, "hidden_size, layer_norm_eps missing or no size"),
        ({"num_hidden_layers": 3}, "model.safetensors does not fit config.json"),
    ],
)
def test_another_model_is_refused_with_what_is_wrong(
    bert: Path, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    other = shutil.copytree(bert, tmp_path / "other")
    (other / "config.json").write_text(json.dumps(json.loads((other / "config.json").read_text()) | changed))
    with pytest.raises(ModelError, match=words):
        embedder(config("minilm", other))


def test_more_tokens_than_a_language_model_reads_are_refused() -> None:
    with pytest.raises(ModelError, match=r"reads at most \d+ tokens and augment.embedder.tokens_max is 100000"):
        embedder(config("states", DEMO, 100_000))


def test_the_real_minilm_gives_the_published_cosines() -> None:
    # https://sbert.net/docs/quickstart.html
    folder = weights_folder()
    states = restore(identity(config("minilm", folder, 256)), str(folder)).embed(
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    )
    assert states.shape == (3, 384)
    published = [[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]]
    assert np.abs(states @ states.T - published).max() < 1e-3


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("Ship it tonight.", "Deploy this evening.", "The soup needs salt."),
        ("I lost my keys", "I can't find my keys", "I found a good keyboard"),
        ("How old are you?", "What is your age?", "How tall is the tower?"),
        ("The tests fail.", "A test is failing.", "The soup needs salt."),
        ("A dog runs in the park", "A puppy is running on the grass", "Stocks fell on Monday"),
    ],
)
def test_the_real_minilm_puts_what_means_the_same_nearer(text: str, near: str, far: str) -> None:
    folder = weights_folder()
    one, same, other = restore(identity(config("minilm", folder, 256)), str(folder)).embed([text, near, far])
    assert one @ same > one @ other + 0.2


def test_a_person_who_hashes_waits_for_no_tensor_library() -> None:
    probe = (
        "import sys; from twin.embedder import restore;"
        "restore({'name': 'hashing', 'dimensions': 8, 'version': 1}).embed(['go']);"
        "print({m.split('.')[0] for m in sys.modules} & {'mlx', 'mlx_lm', 'transformers', 'tokenizers', 'sqlite3'})"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("kind", "changed", "words"),
    [
        ("hashing", {}, []),
        ("hashing", {"dimensions": None, "folder": "x"}, ["dimensions is null; hashing needs", "folder is set"]),
        ("minilm", {}, []),
        ("minilm", {"dimensions": 8, "tokens_max": None}, ["tokens_max is null; minilm", "dimensions is set"]),
        ("states", {"revision": "main"}, ["revision is main; a hub model needs its commit"]),
        ("states", {"revision": None, "folder": "x"}, []),
    ],
)
def test_what_an_embedder_cannot_do_is_a_contradiction(kind: str, changed: dict[str, Any], words: list[str]) -> None:
    hashing = {"dimensions": 64, "id": None, "revision": None, "folder": None, "tokens_max": None}
    model = {"dimensions": None, "id": "some/model", "revision": "a" * 40, "folder": None, "tokens_max": 64}
    values: dict[str, Any] = (hashing if kind == "hashing" else model) | changed
    found = list(contradictions(EmbedderConfig(kind=Kind(kind), **values)))
    assert len(found) == len(words)
    assert all(part in problem for part, problem in zip(words, found, strict=True))
