"""Model folders: a card that says what the model is, the ONNX file and the tokenizer."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import msgspec

from rag.base.errors import ConfigError

SHIPPED = Path(__file__).parent.parent / "models"
"""The folder of the models that come with Groundwire."""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What `card.json` says. `files` maps each file name to its sha256."""

    name: str
    task: Literal["embed", "rerank"]
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


def open_model(name_or_path: str, task: Literal["embed", "rerank"]) -> ModelFolder:
    """The model folder of a shipped name or a local path. Raises ConfigError that lists what there is."""
    shipped = SHIPPED / name_or_path
    path = shipped if shipped.is_dir() else Path(name_or_path).expanduser()
    card_file = path / "card.json"
    if not card_file.is_file():
        names = ", ".join(model.card.name for model in shipped_models() if model.card.task == task) or "none"
        raise ConfigError(f"no model '{name_or_path}': neither a shipped one ({names}) nor a folder with a card.json")
    try:
        card = msgspec.json.decode(card_file.read_bytes(), type=ModelCard)
    except msgspec.DecodeError as fault:
        raise ConfigError(f"{card_file} is not a model card: {fault}") from fault
    if card.task != task:
        raise ConfigError(f"model '{card.name}' is for the task '{card.task}', and '{task}' is needed here")
    return ModelFolder(path, card)


def shipped_models() -> list[ModelFolder]:
    """The models that come with Groundwire, by name."""
    cards = sorted(SHIPPED.glob("*/card.json"))
    return [ModelFolder(file.parent, msgspec.json.decode(file.read_bytes(), type=ModelCard)) for file in cards]


def damaged_files(model: ModelFolder) -> list[str]:
    """The files of the card that are missing or whose sha256 differs."""
    damaged = []
    for name, expected in model.card.files.items():
        file = model.path / name
        if not file.is_file() or sha256(file.read_bytes()).hexdigest() != expected:
            damaged.append(name)
    return damaged
