"""Everything that can be configured: defaults here < `rag.toml` < environment `RAG__SECTION__KEY`.

An unknown key or a bad value rejects the whole configuration, with its path. Credentials are of the type `Secret`;
written as `env:NAME` or `file:/path` they are read from there when the settings are loaded.
"""

import os
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from cache.config import CacheConfig, MemoryConfig
from ingest.config import IngestConfig
from ingest.queue.config import NoQueueConfig, QueueConfig
from llm.config import ExtractiveConfig, ModelConfig
from llm.routing.config import RouteConfig, RoutingConfig, check_routes
from rag.base.errors import ConfigError
from rag.base.secret import Secret
from rag.govern.allowance import AccountPath, Allowance
from rag.govern.config import LedgerConfig, SqliteLedgerConfig
from rag.govern.keys import KeyConfig
from rag.govern.limits import Limits
from rag.govern.redact import RedactionConfig
from rag.index.config import EdgeConfig, FieldType, FusionConfig, StoreConfig
from rag.index.embedders.config import EmbedderConfig, OnnxEmbedderConfig
from rag.pipeline.answer import EXTRACTIVE
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles, summary_prompts
from rag.pipeline.prompts import Name as PromptName
from rag.pipeline.prompts import PromptBook, PromptConfig, prompts_in, with_files
from rag.records.config import LogConfig, RecordsConfig, SqliteConfig
from rag.telemetry.config import LogsConfig, TracingConfig
from rerank.config import NoRerankConfig, RerankConfig

PREFIX = "RAG__"
T = TypeVar("T")
EXCHANGEABLE = ("models", "routes", "routing", "prompts", "accounts")
"""The sections that can be exchanged while the server runs."""
FILE_NAME = "rag.toml"
MODELS = "models"
"""The folder of models that were exported on this machine, within the data folder."""


def default_data_dir() -> Path:
    """Where the data lives unless told otherwise: `$XDG_DATA_HOME/groundwire`, or `~/.local/share/groundwire`."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "groundwire"


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `rag serve` listens. Port 0 takes a free one. Another host than loopback needs keys."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080


class AuthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may come in. Without keys only this machine may, as one local principal."""

    keys: tuple[KeyConfig, ...] = ()
    keys_file: Path | None = None


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration. `fields` declares the metadata fields that filters may name, with their types."""

    data_dir: Path = msgspec.field(default_factory=default_data_dir)
    server: ServerConfig = ServerConfig()
    auth: AuthConfig = AuthConfig()
    accounts: dict[AccountPath, Allowance] = {}
    ledger: LedgerConfig = SqliteLedgerConfig()
    limits: Limits = Limits()
    embedder: EmbedderConfig = OnnxEmbedderConfig()
    index: StoreConfig = EdgeConfig()
    fusion: FusionConfig = FusionConfig()
    fields: dict[str, FieldType] = {}
    reranker: RerankConfig = NoRerankConfig()
    models: dict[str, ModelConfig] = {}
    routes: dict[str, RouteConfig] = {}
    routing: RoutingConfig = RoutingConfig()
    prompts_dir: Path | None = None
    prompts: dict[PromptName, PromptConfig] = {}
    answer: AnswerConfig = AnswerConfig()
    cache: CacheConfig = MemoryConfig()
    ingest: IngestConfig = IngestConfig()
    queue: QueueConfig = NoQueueConfig()
    records: RecordsConfig = SqliteConfig()
    request_log: LogConfig = LogConfig()
    redaction: RedactionConfig = RedactionConfig()
    tracing: TracingConfig = TracingConfig()
    logs: LogsConfig = LogsConfig()

    @property
    def models_dir(self) -> Path:
        """Where models that were exported on this machine live."""
        return self.data_dir / MODELS


def load_settings(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The effective settings. `file=None` takes `rag.toml` of the working directory if there is one.

    Raises ConfigError that names the path of the fault.
    """
    environ = os.environ if environ is None else environ
    file = file or (Path(FILE_NAME) if Path(FILE_NAME).is_file() else None)
    written = _read(file) if file else {}
    folder = file.parent.resolve() if file else Path.cwd()
    _converted(_with_kinds(written), folder, environ, strict=True)
    effective = _with_kinds(_merged(written, _from_environment(environ)))
    return _checked(_with_prompts(_converted(effective, folder, environ, strict=False)))


def exchanged(settings: Settings, sections: Mapping[str, Any]) -> Settings:
    """The settings with other sections of those in `EXCHANGEABLE`. Raises ConfigError.

    Credentials are taken as they are: one that names a variable or a file of this machine is refused, as whoever sends
    it could have it sent to an address of their own.
    """
    for name in sections:
        if name not in EXCHANGEABLE:
            known = ", ".join(EXCHANGEABLE)
            raise ConfigError(f"setting $.{name}: only {known} can change while the server runs", path=f"$.{name}")
    converted = _convert(sections, _Exchangeable, _literal)
    given = {name: getattr(converted, name) for name in sections}
    return _checked(_with_prompts(msgspec.structs.replace(settings, **given)))


def shown(settings: Settings) -> bytes:
    """The settings as indented JSON with secrets as `***`."""
    return msgspec.json.format(msgspec.json.encode(settings, enc_hook=_encoded), indent=2)


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as fault:
        raise ConfigError(f"cannot read the settings file {file}: {fault.strerror}") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{file} is not valid TOML: {fault}") from fault


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """`RAG__SERVER__PORT=1` as {"server": {"port": "1"}}; a value that starts with [ or { is read as JSON."""
    tree: dict[str, Any] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{name} sets a key inside of a value that another variable sets as a whole")
        node[key] = _value(name, environ[name])
    return tree


def _value(name: str, raw: str) -> Any:
    if not raw.startswith(("[", "{")):
        return raw
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as fault:
        raise ConfigError(f"{name} starts like JSON and is not: {fault}") from fault


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _with_kinds(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A section that does not say its `kind` is of the kind that it has by default."""
    completed = dict(tree)
    for field in msgspec.structs.fields(Settings):
        config = getattr(field.default, "__struct_config__", None)
        section = completed.get(field.name)
        if config and config.tag_field and isinstance(section, dict):
            completed[field.name] = {config.tag_field: config.tag, **section}
    return completed


def _converted(tree: Mapping[str, Any], folder: Path, environ: Mapping[str, str], *, strict: bool) -> Settings:
    def decode(target: type, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
        return folder / Path(value).expanduser() if target is Path else _secret(value, environ)

    return _convert(tree, Settings, decode, strict=strict)


class _Exchangeable(Struct, frozen=True, kw_only=True):
    models: dict[str, ModelConfig] = {}
    routes: dict[str, RouteConfig] = {}
    routing: RoutingConfig = RoutingConfig()
    prompts: dict[PromptName, PromptConfig] = {}
    accounts: dict[AccountPath, Allowance] = {}


def _literal(_: type, value: Any) -> Secret:
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    if value.startswith(("env:", "file:")) or value == "***":
        raise ValueError("a credential is taken as it is here; env: and file: are for the settings file")
    return Secret(value)


def _convert(tree: Mapping[str, Any], target: type[T], decode: Callable[[type, Any], Any], *, strict: bool = True) -> T:
    try:
        return msgspec.convert(tree, target, dec_hook=decode, strict=strict)
    except msgspec.ValidationError as fault:
        message, _, path = str(fault).partition(" - at ")
        place = "$" + path.rpartition("$")[2].rstrip("`")  # of a name of a table: "`key` in `$.accounts`"
        raise ConfigError(f"setting {place}: {message}", path=place) from fault


def _secret(value: str, environ: Mapping[str, str]) -> Secret:
    kind, _, place = value.partition(":")
    if kind == "env":
        if place not in environ:
            raise ValueError(f"the environment has no variable {place}")
        return Secret(environ[place])
    if kind == "file":
        try:
            return Secret(Path(place).read_text(encoding="utf-8").strip())
        except OSError as fault:
            raise ValueError(f"the secret file {place} cannot be read: {fault.strerror}") from fault
    return Secret(value)


def _with_prompts(settings: Settings) -> Settings:
    """The settings with the versions of prompts that are files."""
    if settings.prompts_dir is None:
        return settings
    return msgspec.structs.replace(settings, prompts=with_files(settings.prompts, prompts_in(settings.prompts_dir)))


def _checked(settings: Settings) -> Settings:
    """What no type can say."""
    if isinstance(settings.index, EdgeConfig) and not isinstance(settings.queue, NoQueueConfig):
        raise ConfigError(
            "setting $.queue.kind: workers need an index that processes can share; set index.kind = 'qdrant'",
            path="$.queue.kind",
        )
    if isinstance(settings.models.get(EXTRACTIVE, ExtractiveConfig()), ExtractiveConfig):
        known = {EXTRACTIVE, *settings.models}
        check_routes(settings.routes, known)
        _check_replies(settings.cache, known | settings.routes.keys())
        _check_prompts(settings)
        if settings.answer.model in known | settings.routes.keys():
            return settings
        names = ", ".join(sorted(known | settings.routes.keys()))
        raise ConfigError(
            f"setting $.answer.model: there is no model or route '{settings.answer.model}'; there is: {names}",
            path="$.answer.model",
        )
    raise ConfigError(f"setting $.models.{EXTRACTIVE}: this name is kept for the kind 'extractive'", path="$.models")


def _check_prompts(settings: Settings) -> None:
    book = PromptBook(settings.prompts)
    Profiles(settings.answer, book, settings.routes)
    summary_prompts(book, settings.routes)
    for name, route in settings.routes.items():
        model = route.summary.model if route.summary else name
        if model not in settings.routes and isinstance(
            settings.models.get(model, ExtractiveConfig()), ExtractiveConfig
        ):
            path = f"$.routes.{name}.summary.model"
            raise ConfigError(f"setting {path}: '{model}' only quotes documents; it cannot summarise", path=path)


def _check_replies(cache: CacheConfig, known: Collection[str]) -> None:
    names = cache.replies.models if isinstance(cache, MemoryConfig) else ()
    for place, name in enumerate(names):
        if name not in known or name == EXTRACTIVE:
            path = f"$.cache.replies.models[{place}]"
            there = ", ".join(sorted({*known} - {EXTRACTIVE})) or "none"
            raise ConfigError(
                f"setting {path}: the gateway has no model or route '{name}'; there is: {there}", path=path
            )


def _encoded(value: object) -> str:
    return str(value)
