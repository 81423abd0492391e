"""Google's access tokens, by google-auth: with the credentials that Google's own tools would find.

They come from the file that GOOGLE_APPLICATION_CREDENTIALS names (a service account's key, or workload identity), from
`gcloud auth application-default login`, or from the metadata server of a machine in Google's cloud. A token holds for
an hour. google-auth is optional, so it is imported when a model needs it.
"""

import asyncio
from typing import Final

from llm.endpoint import Sign
from llm.failures import Failure, refused
from rag.base.errors import ConfigError, Unavailable
from rag.infer.exchange import Request

_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


def google_signer() -> Sign:
    """Sends a token with each request, and has it renewed some minutes before it ends, once for all who need it.

    Raises ConfigError when google-auth is not installed. The signature raises Unavailable when there are no credentials
    or they are not accepted.
    """
    try:
        import google.auth
        from google.auth.credentials import Credentials, TokenState
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError
        from google.auth.transport.requests import Request as Exchange
    except ImportError as error:
        raise ConfigError(
            "a model of the kind 'vertex' without an `api_key` asks with Google's credentials, for which the extra is"
            " missing: install groundwire[vertex]"
        ) from error
    renewing = asyncio.Lock()
    known: Credentials | None = None

    def renewed() -> Credentials:
        """May read files, and asks whoever gives out tokens."""
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

    def is_fresh(credentials: Credentials) -> bool:
        return credentials.token_state is TokenState.FRESH

    async def sign(request: Request) -> None:
        nonlocal known
        if known is None or not is_fresh(known):
            async with renewing:
                if known is None or not is_fresh(known):  # others waited for the same one
                    known = await asyncio.to_thread(renewed)
        request.headers["authorization"] = f"Bearer {known.token}"

    return sign
