"""Google's access tokens, by google-auth: with the credentials that Google's own tools would find.

They come from the file that GOOGLE_APPLICATION_CREDENTIALS names (a service account's key, or workload identity), from
`gcloud auth application-default login`, or from the metadata server of a machine in Google's cloud. A token holds for
an hour. google-auth is optional, so it is imported when a model needs it.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from llm.endpoint import Sign
from llm.failures import Failure, refused
from rag.base.errors import ConfigError, Unavailable, for_the_log
from rag.infer.exchange import Request

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)

_log = logging.getLogger(__name__)


def google_signer() -> Sign:
    """Sends a token with each request, and has it renewed some minutes before it ends, once for all who need it.

    While that fails the token is sent until it ends.

    Raises ConfigError when google-auth is not installed. The signature raises Unavailable when there are no credentials
    or they are not accepted.
    """
    try:
        from google.auth.credentials import TokenState
    except ImportError as error:
        raise ConfigError(
            "a model of the kind 'vertex' without an `api_key` asks with Google's credentials, for which the extra is"
            " missing: install groundwire[vertex]"
        ) from error
    renewing = asyncio.Lock()
    known: Credentials | None = None

    def state() -> TokenState:
        return known.token_state if known else TokenState.INVALID

    async def renew() -> None:
        nonlocal known
        try:
            known = await asyncio.to_thread(_renewed, known)
        except Unavailable as error:
            if state() is TokenState.INVALID:
                raise
            _log.warning("the present token is sent until it ends: %s", for_the_log(error))

    async def sign(request: Request) -> None:
        if state() is TokenState.INVALID or (state() is TokenState.STALE and not renewing.locked()):
            async with renewing:
                if state() is not TokenState.FRESH:  # others waited for the same one
                    await renew()
        assert known is not None, "it was renewed"
        request.headers["authorization"] = f"Bearer {known.token}"

    return sign


def _renewed(known: "Credentials | None") -> "Credentials":
    """Credentials with another token. May read files, and asks whoever gives out tokens. Raises Unavailable."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError
    from google.auth.transport.requests import Request as Exchange

    try:
        credentials = known or google.auth.default(scopes=_SCOPES)[0]
        credentials.refresh(Exchange())  # type: ignore[no-untyped-call]  # as google-auth has it
    except (DefaultCredentialsError, RefreshError) as error:
        lacking = Unavailable(f"no access token for Vertex AI can be had ({type(error).__name__})")
        if getattr(error, "retryable", False):
            raise lacking from error
        raise refused(lacking, Failure(kind="credentials", status=401)) from lacking.__cause__
    except GoogleAuthError as error:
        raise Unavailable(f"whoever gives out Google's tokens does not answer ({type(error).__name__})") from error
    return credentials
