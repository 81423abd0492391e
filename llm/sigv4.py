"""AWS's signature of a request, by botocore: with the credentials that AWS's own tools would find.

They come from the environment, the shared files, a container's or an instance's role, and are renewed when they age.
botocore is heavy and optional, so it is imported when a model needs it.
"""

import asyncio
from collections.abc import Mapping

from llm.endpoint import Sign
from llm.failures import Failure, refused
from rag.base.errors import ConfigError, Unavailable
from rag.infer.exchange import Request

_SERVICE = "bedrock"
_SIGNED = "content-type"  # beside the host, the date and the session's token, which the signer brings


def aws_signer(region: str) -> Sign:
    """Signs requests to Bedrock in `region`. Raises ConfigError when botocore is not installed.

    The signature raises Unavailable when there are no credentials or they cannot be renewed.
    """
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ModuleNotFoundError as error:
        raise ConfigError(
            "a model of the kind 'bedrock' without an `api_key` signs with AWS credentials, for which the extra is"
            " missing: install groundwire[bedrock]"
        ) from error
    session = Session()

    def signed(request: Request) -> Mapping[str, str]:
        """The headers to add. May read files and ask a metadata service."""
        try:
            credentials = session.get_credentials()
            if credentials is None:
                lacking = Unavailable("no AWS credentials were found to sign a request to Bedrock with")
                raise refused(lacking, Failure(kind="credentials", status=401))  # as Bedrock itself would
            headers = {_SIGNED: request.headers[_SIGNED]}
            unsigned = AWSRequest("POST", request.address.text, data=request.body, headers=headers)
            SigV4Auth(credentials.get_frozen_credentials(), _SERVICE, region).add_auth(unsigned)
        except BotoCoreError as error:
            raise Unavailable(f"the AWS credentials for Bedrock cannot be had ({type(error).__name__})") from error
        return {name.lower(): value for name, value in unsigned.headers.items()}

    async def sign(request: Request) -> None:
        request.headers.update(await asyncio.to_thread(signed, request))

    return sign
