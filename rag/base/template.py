"""A prompt as it is written down: what the system says, what the user says, and places for what is known later."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta, Struct

from rag.base.errors import ConfigError

Reference = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}(@[a-z0-9][a-z0-9_.-]{0,63})?$")]
"""What a prompt is asked for by: `answer`, `answer@staging`, or `answer@2`."""
References = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}(@(\*|[a-z0-9][a-z0-9_.-]{0,63}))?$")]
"""One of them, or all versions and labels of a name: `answer@*`."""

ANSWERING: Final = frozenset({"sources", "question"})
"""The places of a prompt that has a question answered."""
SUMMARISING: Final = frozenset({"conversation"})
"""The place of a prompt that has a conversation summarised."""

_SECTION = re.compile(r"^# (system|user)[ \t]*\n", re.MULTILINE)
_PLACE = re.compile(r"\{([a-z_]+)\}")


class Template(Struct, frozen=True, kw_only=True):
    """One version of a prompt. `name` carries its number and the first digits of its hash: a changed text is another.

    `places` is either `ANSWERING` or `SUMMARISING`.
    """

    name: str
    system: str
    user: str
    places: frozenset[str]

    def filled(self, values: Mapping[str, str]) -> str:
        """What the user says. A value is never read as a template."""
        return _PLACE.sub(lambda place: values[place.group(1)], self.user)


def template_of(name: str, text: str) -> Template:
    """The text of `name` (such as "answer.v1"), parsed. Raises ConfigError where it is not what a prompt must be."""
    before, *pieces = _SECTION.split(text)
    if before.strip() or pieces[::2] != ["system", "user"]:
        raise ConfigError(f"the prompt '{name}' must be a part '# system' and after it a part '# user', and no more")
    system, user = (body.strip() for body in pieces[1::2])
    if _PLACE.search(system):
        raise ConfigError(f"the prompt '{name}' has a placeholder under '# system'; they are filled under '# user'")
    places = _PLACE.findall(user)
    if frozenset(places) not in (ANSWERING, SUMMARISING):
        raise ConfigError(
            f"the prompt '{name}' has {_listed(places)} under '# user'; it needs {{sources}} and {{question}} to have "
            "questions answered, or {conversation} to have conversations summarised"
        )
    if any(places.count(place) > 1 for place in ("sources", "conversation")):
        raise ConfigError(
            f"the prompt '{name}' has {_listed(places)} under '# user': what is long may stand there once"
        )
    identity = f"{name}#{sha256(text.encode()).hexdigest()[:8]}"
    return Template(name=identity, system=system, user=user, places=frozenset(places))


def _listed(places: list[str]) -> str:
    return ", ".join(f"{{{place}}}" for place in places) or "no placeholder"
