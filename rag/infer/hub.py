"""Models on the Hugging Face hub: what is in the local cache, and what is fetched into it when somebody asks.

Nothing else in Groundwire goes to the hub. Its client comes with the torch extra, without which an original is of no
use. HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE hold, as everywhere.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from rag.base.errors import ConfigError, Unavailable

FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "README.md"]
"""What a model is made of. Weights that are pickled can run code when they are loaded, and are left there."""

OTHER_FORMATS = ["onnx/*", "openvino/*", "coreml/*", "gguf/*", "original/*"]

_LICENCE = re.compile(r"^license: *[\"']?([\w.+-]+)", re.MULTILINE)


def original(name: str) -> Path:
    """The transformers folder of a path or of a hub id that is in the local cache. Raises ConfigError."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, local_files_only=True))
    except (ImportError, OSError, ValueError) as fault:
        raise ConfigError(
            f"'{name}' is neither a folder nor a model in the local hub cache; `rag models pull {name}` fetches it. "
            "Without a network, fetch it on a machine that has one and copy its folder here"
        ) from fault


def fetch(hub_id: str, revision: str | None = None) -> Path:
    """Downloads a model into the local cache and gives its folder, which is named for its commit.

    Raises ConfigError for an id that the hub does not know or does not give away, Unavailable without a network.
    """
    require_torch_extra("fetching a model")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=FILES, ignore_patterns=OTHER_FORMATS))
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as fault:
        raise ConfigError(
            f"the hub has no model '{hub_id}'{f' at {revision}' if revision else ''} for this account "
            f"({type(fault).__name__}); a gated one needs HF_TOKEN"
        ) from fault
    except Exception as fault:  # httpx, requests and the cache's own errors, which change with the library's version
        raise Unavailable(
            f"cannot fetch '{hub_id}' from the hub ({type(fault).__name__}). Without a network: run `rag models "
            "export` on a machine that has one, copy the folder that it writes, and give its path as the model"
        ) from fault


def require_torch_extra(what: str) -> None:
    """Raises ConfigError where the libraries that load originals are not installed."""
    missing = [name for name in ("torch", "sentence_transformers", "huggingface_hub", "onnx") if not find_spec(name)]
    if missing:
        raise ConfigError(
            f"{what} needs the torch extra, of which {', '.join(missing)} is missing: pip install 'groundwire[torch]'. "
            "Or export the model on a machine that has it (`rag models export`), copy the folder that it writes, and "
            "give its path as the model"
        )


def licence_of(folder: Path) -> str | None:
    """What the model's README says of its licence."""
    readme = folder / "README.md"
    if not readme.is_file():
        return None
    text = readme.read_text(encoding="utf-8", errors="replace")
    found = _LICENCE.search(text.split("\n---", 1)[0]) if text.startswith("---") else None
    return found[1] if found else None


def source_of(name: str, folder: Path) -> str:
    """Where a model is from, for its card: the hub id with its commit, or the folder's name."""
    if Path(name).expanduser().is_dir():
        return folder.resolve().name
    return f"https://huggingface.co/{name}/tree/{folder.name}"
