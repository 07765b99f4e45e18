"""A base is named by its files' hashes, is found again only if they agree, and says what is wrong with it."""

import json
import shutil
from dataclasses import replace

import pytest

from stages.base import find
from twin.base import identify, resolve
from twin.config.model import ModelConfig, Origin
from twin.errors import ConfigError, ModelError

COMMIT = "c26a38f6a37d0a51b4e9a1eb3026530fa35d9fed"
MODEL = ModelConfig(
    id="tiny",
    origin=Origin.repository,
    folder="models/tiny",
    revision=None,
    fixture=True,
    learning_rate_min=1e-5,
    learning_rate_max=1e-3,
)


@pytest.fixture
def folder(tmp_path, tiny_base, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(tiny_base, tmp_path / "models/tiny").relative_to(tmp_path)


def identity(config):
    where, place = find(config)
    return identify(where, {"id": config.id, **place})


def test_an_identity_names_every_file_that_a_reply_depends_on(folder):
    (folder / "README.md").write_text("not one of them")
    found = identity(MODEL)
    assert sorted(found["files"]) == [
        "chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
    assert (found["kind"], found["folder"], found["revision"]) == ("folder", "models/tiny", None)
    assert found["architecture"]["hidden_size"] == 32


def test_a_base_of_the_repository_is_found_again(folder):
    assert resolve(identity(MODEL)) == folder


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_a_changed_file_is_named(folder, name):
    known = identity(MODEL)
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelError, match=rf"not the base that tiny was identified as: {name} is another file"):
        resolve(known)


def test_missing_and_new_files_are_named_together(folder):
    known = identity(MODEL)
    (folder / "chat_template.jinja").unlink()
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(ModelError, match=r"chat_template\.jinja is missing; vocab\.json is new"):
        resolve(known)


def test_a_vanished_folder_is_an_error_that_says_how_to_get_it_back(folder):
    known = identity(MODEL)
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match=r"models/tiny is missing\. Bring it back with `git checkout models/tiny`"):
        resolve(known)


def test_the_place_of_a_folder_elsewhere_stays_out_of_the_identity(folder, tmp_path):
    elsewhere = str((tmp_path / folder).absolute())
    known = identity(replace(MODEL, origin=Origin.folder, folder=elsewhere))
    assert str(tmp_path) not in json.dumps(known)
    assert str(resolve(known, elsewhere)) == elsewhere
    with pytest.raises(ConfigError, match="tiny lies outside the repository"):
        resolve(known)


def test_a_base_from_the_hub_is_asked_for_at_its_commit(folder, monkeypatch):
    import huggingface_hub

    asked = []

    def download(repository, **how):
        asked.append((repository, how["revision"], how["local_files_only"]))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    hub = replace(MODEL, id="some/model", origin=Origin.hub, folder=None, revision=COMMIT)
    known = identity(hub)
    assert (known["kind"], known["revision"], known["folder"]) == ("hub", COMMIT, None)
    resolve(known)
    assert asked == [("some/model", COMMIT, False), ("some/model", COMMIT, True)]


def test_a_base_that_cannot_be_fetched_is_a_clear_error(monkeypatch):
    import huggingface_hub

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    hub = replace(MODEL, id="some/model", origin=Origin.hub, folder=None, revision=COMMIT)
    with pytest.raises(ModelError, match=rf"some/model at {COMMIT} is not on this machine .* no network"):
        identity(hub)


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:12], COMMIT.upper()])
def test_a_revision_that_can_move_is_refused(revision):
    with pytest.raises(ConfigError, match=rf"model\.revision is {revision}; .* 40 hex digits"):
        find(replace(MODEL, origin=Origin.hub, revision=revision))


@pytest.mark.parametrize("place", ["/somewhere/else", "../outside"])
def test_a_repository_base_lies_inside_the_repository(place):
    with pytest.raises(ConfigError, match=rf"model\.folder is {place}; .* -S model=local"):
        find(replace(MODEL, folder=place))


@pytest.mark.parametrize("origin", [Origin.repository, Origin.folder])
def test_a_missing_folder_name_is_an_error(origin):
    with pytest.raises(ConfigError, match=rf"model\.folder is null, and model\.origin is {origin.value}"):
        find(replace(MODEL, origin=origin, folder=None))


def test_no_folder_no_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="models/tiny is not a usable base model: there is no such folder"):
        identity(MODEL)


def test_all_problems_of_a_folder_are_reported_at_once(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "abacus"}))
    (folder / "model.safetensors").unlink()
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="abacus is no architecture .*; it has no weights .*no chat template"):
        identity(MODEL)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("config.json", "it has no config.json"), ("tokenizer", "it has no tokenizer"), ("truncated", "is not JSON")],
)
def test_each_problem_of_a_folder_is_said(folder, name, problem):
    if name == "truncated":
        (folder / "config.json").write_text('{"model_type": ')
    for path in folder.glob(f"{name}*"):
        path.unlink()
    with pytest.raises(ModelError, match=problem):
        identity(MODEL)


def test_a_renamed_architecture_is_known(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mistral"}))
    assert identity(MODEL)["architecture"]["model_type"] == "mistral"


def test_identifying_a_base_needs_no_tensors():
    import subprocess
    import sys

    code = "import stages.base, sys; sys.exit(any(name.startswith(('mlx', 'transformers')) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
