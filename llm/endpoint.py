"""Where a model is asked, and as whom."""

from collections.abc import Awaitable, Callable, Mapping

from llm.config import RemoteConfig
from rag.base.errors import ConfigError
from rag.base.secret import Secret
from rag.infer.exchange import Address, Request

Sign = Callable[[Request], Awaitable[None]]
"""Adds to a finished request what proves who asks, where a fixed header does not: a signature, a token that ages."""

_FIXED = {"content-type": "application/json", "accept-encoding": "identity"}


class Endpoint:
    """One URL with the headers that go with every request. Raises ConfigError for a value that no header can hold.

    `headers` are the provider's own; those that are configured come on top.
    """

    def __init__(
        self,
        config: RemoteConfig,
        url: str,
        headers: Mapping[str, Secret],
        *,
        accept: str = "text/event-stream",
        sign: Sign | None = None,
    ) -> None:
        self._url = Address.of(url)
        self._connect_timeout_s = config.connect_timeout_s
        self._headers = {**_FIXED, "accept": accept, **_revealed(headers), **_revealed(config.headers)}
        self._sign = sign

    @property
    def address(self) -> str:
        """The address for messages, without what follows the host."""
        return f"{'https' if self._url.origin.is_secure else 'http'}://{self._url.authority}"

    async def request(self, body: bytes) -> Request:
        """The request that brings `body`, signed."""
        request = Request(
            address=self._url, headers=self._headers.copy(), body=body, connect_timeout_s=self._connect_timeout_s
        )
        if self._sign:
            await self._sign(request)
        return request


def bearer(key: Secret | None) -> dict[str, Secret]:
    """The header of a bearer token; none without a key."""
    return {"authorization": Secret(f"Bearer {key.reveal()}")} if key else {}


def _revealed(secrets: Mapping[str, Secret]) -> dict[str, str]:
    for name, secret in secrets.items():
        if not (secret.reveal().isascii() and secret.reveal().isprintable()):
            raise ConfigError(f"the value of the header '{name}' holds a line break or a character outside of ASCII")
    return {name.lower(): secret.reveal() for name, secret in secrets.items()}
