"""Versioned prompt files and how a question and its sources are put into one."""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from rag.base.errors import ConfigError
from rag.base.types import Prompt, Query, Source, Turn

PROMPTS = Path(__file__).parent.parent / "prompts"
_SECTION = re.compile(r"^# (system|user)[ \t]*\n", re.MULTILINE)
_SLOT = re.compile(r"\{(sources|question)\}")


class Template(Struct, frozen=True, kw_only=True):
    """A prompt file. `name` carries its version and the first digits of its hash: a changed prompt is another one."""

    name: str
    system: str
    user: str


def load_template(file: Path = PROMPTS / "answer.v1.md") -> Template:
    """Reads a prompt file with a `# system` and a `# user` part. Raises ConfigError."""
    text = file.read_text(encoding="utf-8")
    pieces = _SECTION.split(text)
    sections = {name: body.strip() for name, body in zip(pieces[1::2], pieces[2::2], strict=True)}
    slots = set(_SLOT.findall(sections.get("user", "")))
    if set(sections) != {"system", "user"} or slots != {"sources", "question"}:
        raise ConfigError(
            f"{file} needs the parts '# system' and '# user', the latter with {{sources}} and {{question}}"
        )
    return Template(name=f"{file.stem}#{sha256(text.encode()).hexdigest()[:8]}", **sections)


def render(
    template: Template,
    query: Query,
    sources: Sequence[Source],
    *,
    max_tokens: int,
    temperature: float,
    count: Callable[[str], int],
) -> Prompt:
    """The messages for a chat model. `count` measures tokens; history stands between the system and the user part."""
    values = {"sources": "\n\n".join(map(_shown, sources)), "question": query.text}
    user = _SLOT.sub(lambda slot: values[slot.group(1)], template.user)
    messages = (
        Turn(role="system", content=template.system),
        *query.history,
        Turn(role="user", content=user),
    )
    return Prompt(
        tenant=query.principal.tenant,
        messages=messages,
        template=template.name,
        n_tokens=sum(count(message.content) for message in messages),
        question=query.text,
        sources=tuple(sources),
        max_tokens=query.max_tokens or max_tokens,
        temperature=temperature if query.temperature is None else query.temperature,
        key_id=query.principal.key_id,
    )


def _shown(source: Source) -> str:
    place = " > ".join((source.title, *source.headings)) if source.headings else source.title
    return f"[{source.marker}] {place}\n{source.text.strip()}"
