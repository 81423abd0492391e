"""httpx's transports as ours: for ways that need more than a connection, such as a proxy, and for those without any."""

from collections.abc import AsyncIterator

import aiohttp
import httpx

from rag.infer.exchange import Request


class OverHttpx:
    """A `Transport` around one of httpx's."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def post(self, request: Request) -> "HttpxReply":
        """See `Transport`."""
        timeouts = {"timeout": {"connect": request.connect_timeout_s}}
        asked = httpx.Request(
            "POST", request.address.text, headers=request.headers, content=request.body, extensions=timeouts
        )
        try:
            response = await self._inner.handle_async_request(asked)
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise _broken(error) from error
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()  # httpx would unpack it without a bound: 500 bytes of gzip in gzip hold 200 MB
            raise ConnectionError("the server packed its answer, which it was asked not to")
        return HttpxReply(response)


class HttpxReply:
    """A `Reply` that httpx reads."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()

    async def next(self) -> bytes | None:
        """See `Reply`."""
        try:
            return await anext(self._pieces, None)
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise _broken(error) from error

    async def aclose(self) -> None:
        """See `Reply`."""
        await self._response.aclose()


def _broken(error: Exception) -> OSError:
    return ConnectionError(f"the exchange broke off ({type(error.__cause__ or error).__name__})")
