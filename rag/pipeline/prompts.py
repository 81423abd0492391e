"""The prompts that there are, by name: numbered versions, and labels that point to one of them."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from rag.base.errors import ConfigError
from rag.base.template import Template, template_of

SHIPPED: Final = Path(__file__).parent.parent / "prompts"
DEFAULT_LABEL: Final = "production"
"""What a bare name means, where it has this label."""

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Number = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}$")]
Label = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]

_FILE = re.compile(r"([a-z][a-z0-9_-]{0,63})\.v([1-9][0-9]{0,8})\.md")


class PromptConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The versions of one prompt by their numbers, and labels. Those of a folder are added when settings are read."""

    versions: dict[Number, str] = {}
    labels: dict[Label, Annotated[int, Meta(ge=1)]] = {}


class Version(Struct, frozen=True, kw_only=True):
    """One version, with its text as it was written; `is_shipped` if it came with Groundwire."""

    number: int
    text: str
    template: Template
    is_shipped: bool


class PromptBook:
    """The configured prompts and those that ship. Immutable: what was found in it stays what it is.

    Raises ConfigError with the path of the first fault.
    """

    def __init__(self, configured: Mapping[str, PromptConfig] | None = None) -> None:
        configured = configured or {}
        self._versions: dict[str, dict[int, Version]] = {name: dict(each) for name, each in _shipped().items()}
        for name, config in configured.items():
            self._versions.setdefault(name, {}).update(_own(name, config))
        self._labels = {name: config.labels for name, config in configured.items()}
        self._check_labels()

    def __iter__(self) -> Iterator[tuple[str, Version, tuple[str, ...]]]:
        """Every version by name and number, with the labels that point to it."""
        for name, versions in sorted(self._versions.items()):
            labels = self._labels.get(name, {})
            for number, version in sorted(versions.items()):
                yield (
                    name,
                    version,
                    tuple(label for label, pointed_to in sorted(labels.items()) if pointed_to == number),
                )

    def find(self, reference: str) -> Version | None:
        """The version that `reference` means now; a bare name is its `production`, or else the newest of one's own."""
        name, at, wanted = reference.partition("@")
        versions, labels = self._versions.get(name, {}), self._labels.get(name, {})
        if at:
            return versions.get(int(wanted) if wanted.isdecimal() else labels.get(wanted, 0))
        own = [number for number, version in versions.items() if not version.is_shipped]
        return versions.get(labels.get(DEFAULT_LABEL) or max(own or versions, default=0))

    def template(self, reference: str, places: frozenset[str], path: str) -> Template:
        """The template behind the setting at `path`, for text of those `places`. Raises ConfigError."""
        version = self.find(reference)
        if version is None:
            raise ConfigError(f"setting {path}: there is no prompt '{reference}'; there is: {self.known}", path=path)
        if version.template.places != places:
            needed = " and ".join(f"{{{place}}}" for place in sorted(places))
            raise ConfigError(
                f"setting {path}: the prompt '{reference}' is for something else: it lacks {needed}", path=path
            )
        return version.template

    def has(self, name: str) -> bool:
        """Whether there is any version of it."""
        return name in self._versions

    @property
    def known(self) -> str:
        """All references but bare names, for messages."""
        named = [(name, (str(version.number), *labels)) for name, version, labels in self]
        return ", ".join(f"{name}@{which}" for name, each in named for which in each)

    def _check_labels(self) -> None:
        for name, labels in self._labels.items():
            for label, number in labels.items():
                if number not in self._versions[name]:
                    path = f"$.prompts.{name}.labels.{label}"
                    there = ", ".join(map(str, sorted(self._versions[name]))) or "none"
                    raise ConfigError(
                        f"setting {path}: there is no version {number} of '{name}'; there is: {there}", path=path
                    )


def prompts_in(folder: Path) -> dict[str, PromptConfig]:
    """The versions that a folder has, as files `NAME.vN.md`. Raises ConfigError."""
    path = "$.prompts_dir"
    versions: dict[str, dict[Number, str]] = {}
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".md" and file.name != "README.md")
        for file in files:
            known = _FILE.fullmatch(file.name)
            if known is None:
                raise ConfigError(
                    f"setting {path}: {file.name} is not named as prompts are: NAME.vNUMBER.md, such as answer.v2.md",
                    path=path,
                )
            versions.setdefault(known[1], {})[known[2]] = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"setting {path}: the prompts in {folder} cannot be read: {fault}", path=path) from fault
    return {name: PromptConfig(versions=each) for name, each in versions.items()}


def with_files(written: Mapping[str, PromptConfig], found: Mapping[str, PromptConfig]) -> dict[str, PromptConfig]:
    """What settings say of prompts, with the versions that were found in files. Raises ConfigError for two texts."""
    merged = dict(found)
    for name, config in written.items():
        files = found.get(name, PromptConfig()).versions
        for number, text in config.versions.items():
            if files.get(number, text) != text:
                path = f"$.prompts.{name}.versions.{number}"
                raise ConfigError(f"setting {path}: the file {name}.v{number}.md says something else", path=path)
        merged[name] = PromptConfig(versions={**files, **config.versions}, labels=config.labels)
    return merged


def _own(name: str, config: PromptConfig) -> dict[int, Version]:
    versions = {}
    for number, text in config.versions.items():
        try:
            template = template_of(f"{name}.v{number}", text)
        except ConfigError as fault:
            path = f"$.prompts.{name}.versions.{number}"
            raise ConfigError(f"setting {path}: {fault}", path=path) from fault
        versions[int(number)] = Version(number=int(number), text=text, template=template, is_shipped=False)
    return versions


@cache
def _shipped() -> dict[str, dict[int, Version]]:
    return {
        name: {number: replace(version, is_shipped=True) for number, version in _own(name, config).items()}
        for name, config in prompts_in(SHIPPED).items()
    }
