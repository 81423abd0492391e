"""Model folders: a card that says what the model is, the ONNX file and the tokenizer."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from rag.base.errors import ConfigError

Task: TypeAlias = Literal["embed", "rerank"]

SHIPPED = Path(__file__).parent.parent / "models"
"""The folder of the models that come with Groundwire."""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What `card.json` says. `files` maps each file name to its sha256."""

    name: str
    task: Task
    licence: str
    source: str
    files: dict[str, str]
    max_length_tokens: int
    inputs: tuple[str, ...]
    output: str
    dimension: int = 0
    pooling: Literal["mean", "cls", "none"] = "none"
    pooled_in_graph: bool = True
    normalized: bool = True
    query_prefix: str = ""
    passage_prefix: str = ""
    precision: str = "fp32"
    temperature: float | None = None
    """Of a cross-encoder: by what to divide its scores so that their softmax tells how sure it is of each passage."""
    output_depends_on_batch: bool = False
    """True for dynamic int8: its activation scales come from the whole batch, so its rows must run alone."""
    metrics: dict[str, Any] = {}
    parity: dict[str, Any] = {}
    training: dict[str, Any] = {}
    credits: tuple[Any, ...] = ()
    created: str = ""


class ModelFolder(msgspec.Struct, frozen=True):
    """A model on disk."""

    path: Path
    card: ModelCard

    @property
    def revision(self) -> str:
        """The name with the first digits of the weights' hash: two revisions are never mixed."""
        return f"{self.card.name}@{self.card.files['model.onnx'][:12]}"

    @property
    def weights(self) -> Path:
        """The ONNX file."""
        return self.path / "model.onnx"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of the `tokenizers` library."""
        return self.path / "tokenizer.json"


def open_model(name: str, task: Task, models_dir: Path | None = None) -> ModelFolder:
    """The model of a shipped name, a local folder, or a hub id (or name) that was exported into `models_dir`.

    Nothing is downloaded. Raises ConfigError that lists what there is and says how to get more.
    """
    places = [SHIPPED / name, Path(name).expanduser(), *([exported_folder(models_dir, name)] if models_dir else [])]
    path = next((place for place in places if (place / "card.json").is_file()), None)
    if path is None:
        raise ConfigError(_missing(name, task, models_dir))
    model = _read(path)
    if model.card.task != task:
        raise ConfigError(f"model '{model.card.name}' is for the task '{model.card.task}', and '{task}' is needed here")
    return model


def exported_folder(models_dir: Path, hub_id: str) -> Path:
    """Where the model of a hub id is exported to: `BAAI/bge-small-en-v1.5` becomes one folder name."""
    return models_dir / hub_id.replace("/", "--")


def tokenizer_file(name: str, models_dir: Path | None = None) -> Path:
    """The tokenizer.json of that path, of that folder, or of the embedder of that name. Raises ConfigError."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if (path / "tokenizer.json").is_file():
        return path / "tokenizer.json"
    return open_model(name, "embed", models_dir).tokenizer


def shipped_models() -> list[ModelFolder]:
    """The models that come with Groundwire, by name."""
    return models_in(SHIPPED)


def models_in(folder: Path) -> list[ModelFolder]:
    """The model folders directly below a folder, by name. Raises ConfigError for a card that cannot be read."""
    return [_read(file.parent) for file in sorted(folder.glob("*/card.json"))]


def damaged_files(model: ModelFolder) -> list[str]:
    """The files of the card that are missing or whose sha256 differs."""
    damaged = []
    for name, expected in model.card.files.items():
        file = model.path / name
        if not file.is_file() or sha256(file.read_bytes()).hexdigest() != expected:
            damaged.append(name)
    return damaged


def _read(folder: Path) -> ModelFolder:
    file = folder / "card.json"
    try:
        return ModelFolder(folder, msgspec.json.decode(file.read_bytes(), type=ModelCard))
    except (OSError, msgspec.DecodeError) as fault:
        raise ConfigError(f"{file} is not a model card: {fault}") from fault


def _missing(name: str, task: Task, models_dir: Path | None) -> str:
    there = [*shipped_models(), *(models_in(models_dir) if models_dir else [])]
    names = ", ".join(model.path.name for model in there if model.card.task == task) or "none"
    text = f"no model '{name}' for the task '{task}': not one of those here ({names}), nor a folder with a card.json"
    if Path(name).expanduser().exists():
        return f"{text}; make one of it with `rag models export {name} --task {task}`"
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return f"{text}; get it with `rag models pull {name} --task {task}`"
    return text
