"""What a base model is and where its files are: folder → identity, identity → verified folder.

An identity names every file a reply depends on by its hash, so that an adapter can refuse the wrong base.
It holds no place on this machine: a folder outside the repository is named again by whoever loads it.
"""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twin.errors import ConfigError, ModelError
from twin.files import sha256_file

WEIGHTS = "model*.safetensors"  # what mlx-lm loads
FILES = (
    "config.json", "generation_config.json", WEIGHTS, "model.safetensors.index.json", "tokenizer*.json",
    "tokenizer*.model", "*.tiktoken", "vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "chat_template.json",
)  # fmt: skip
ARCHITECTURE = (
    "model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "tie_word_embeddings",
)  # fmt: skip

Identity = Mapping[str, Any]


def identify(folder: Path, place: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of the MLX model in `folder`: `place` (id, kind, folder, revision, …) and what it is.

    Raises:
        ModelError: everything that keeps the folder from being a base, at once.
    """
    problems = list(_problems(folder))
    if problems:
        raise ModelError(f"{folder} is not a usable base model: {'; '.join(problems)}.")
    config = _json(folder / "config.json")
    return {
        **place,
        "architecture": {key: config[key] for key in ARCHITECTURE if config.get(key) is not None},
        "quantization": config.get("quantization"),
        "files": {file.name: sha256_file(file) for file in model_files(folder)},
    }


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model that replies depend on, by name."""
    return sorted({file for pattern in FILES for file in folder.glob(pattern) if file.is_file()})


def resolve(identity: Identity, folder: str | None = None) -> Path:
    """Return the folder that holds the base's files, after comparing every hash.

    Args:
        identity: what `identify` returned.
        folder: where the files are, for a base outside the repository (`kind` is `local`).

    Raises:
        ConfigError: `folder` is needed and missing.
        ModelError: the folder or a file is missing, or a file is another one.
    """
    found = _locate(identity, folder)
    if not found.is_dir():
        raise ModelError(f"{identity['id']}: the folder {found} is missing. {_bring_back(identity)}")
    present = {file.name: sha256_file(file) for file in model_files(found)}
    wrong = [f"{name} is missing" for name in identity["files"] if name not in present]
    wrong += [f"{name} is new" for name in present if name not in identity["files"]]
    wrong += [f"{name} is another file" for name, seen in present.items() if identity["files"].get(name, seen) != seen]
    if wrong:
        raise ModelError(
            f"{found} is not the base that {identity['id']} was identified as: {'; '.join(wrong)}. "
            f"{_bring_back(identity)}"
        )
    return found


def _locate(identity: Identity, folder: str | None) -> Path:
    if identity["kind"] == "hub":
        return snapshot(identity["id"], identity["revision"], download=False)
    if identity["kind"] == "folder":
        return Path(identity["folder"])
    if folder is None:
        raise ConfigError(f"model.folder is null, and {identity['id']} lies outside the repository. Name its folder.")
    return Path(folder).expanduser()


def _bring_back(identity: Identity) -> str:
    if identity["kind"] == "folder":
        return f"Bring it back with `git checkout {identity['folder']}`, or run `dvc repro` if the change is meant."
    if identity["kind"] == "hub":
        return "Download it again with `dvc repro -f base`."
    return "Correct model.folder, or run `dvc repro -f base` if the change is meant."


def snapshot(repository: str, revision: str, *, download: bool) -> Path:
    """Return the local folder of a hub repository at a commit, downloading what is missing if `download`.

    Raises:
        ModelError: it is not here, or cannot be fetched.
    """
    import httpx2  # huggingface_hub lets its errors through, as of a connection that breaks off
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=list(FILES), local_files_only=not download)
        )
    except (httpx2.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{repository} at {revision} is not on this machine and could not be fetched: {reason} "
            "Check the network, or choose a local base: -S model=local -S model.folder=…"
        ) from error


def _problems(folder: Path) -> list[str]:
    if not folder.is_dir():
        return ["there is no such folder"]
    if not (folder / "config.json").exists():
        return ["it has no config.json (an MLX model folder has one beside its weights)"]
    problems = []
    try:
        model_type = _json(folder / "config.json").get("model_type")
        if not _known_architecture(str(model_type)):
            problems.append(f"config.json: model_type {model_type} is no architecture of this mlx-lm")
    except ModelError as error:
        problems.append(str(error))
    if not list(folder.glob(WEIGHTS)):
        problems.append(f"it has no weights ({WEIGHTS})")
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")):
        problems.append("it has no tokenizer (tokenizer.json)")
    elif not _has_chat_template(folder):
        problems.append(
            "its tokenizer has no chat template (an instruction-tuned model has one in tokenizer_config.json)"
        )
    return problems


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").exists():
        return True
    named = [folder / name for name in ("tokenizer_config.json", "chat_template.json")]
    return any(path.exists() and _json(path).get("chat_template") for path in named)


def _known_architecture(model_type: str) -> bool:
    # The file's presence is asked first: importing mlx_lm costs more than a second.
    spec = importlib.util.find_spec("mlx_lm")
    assert spec is not None and spec.submodule_search_locations, "mlx-lm is a locked dependency"
    places = [Path(place) / "models" for place in spec.submodule_search_locations]
    if model_type.isidentifier() and any((place / f"{model_type}.py").exists() for place in places):
        return True
    from mlx_lm.utils import MODEL_REMAPPING

    return model_type in MODEL_REMAPPING


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path.name} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path.name} is not a JSON object")
    return value
