"""What a model behind HTTP is configured with, whatever it does."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from rag.base.errors import ConfigError
from rag.base.secret import Secret

Seconds = Annotated[float, Meta(gt=0, le=3600)]


class Endpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A remote model. `base_url` ends before the call's own path, as in `http://localhost:8080/v1`.

    `headers` are added to every request. An attempt may take `timeout_s`; the deadline of the request holds besides.
    """

    base_url: Annotated[str, Meta(pattern=r"^https?://[^\s?#@]+$")]
    model: Annotated[str, Meta(min_length=1)]
    api_key: Secret | None = None
    headers: Mapping[str, Secret] = {}
    connect_timeout_s: Seconds = 5.0
    timeout_s: Seconds = 30.0
    max_attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    max_connections: Annotated[int, Meta(ge=1, le=1000)] = 8


def request_headers(api_key: Secret | None, extra: Mapping[str, Secret], *, accept: str) -> dict[str, str]:
    """The headers of a request with a JSON body, in small letters. Raises ConfigError for what no header can hold."""
    secrets = dict(extra)
    if api_key:
        secrets["authorization"] = Secret(f"Bearer {api_key.reveal()}")
    for name, secret in secrets.items():
        if not (secret.reveal().isascii() and secret.reveal().isprintable()):
            raise ConfigError(f"the value of the header '{name}' holds a line break or a character outside of ASCII")
    fixed = {"content-type": "application/json", "accept": accept, "accept-encoding": "identity"}
    return fixed | {name.lower(): secret.reveal() for name, secret in secrets.items()}
