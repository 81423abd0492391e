"""The signature, against the specification of AWS's Signature Version 4 written down once more."""

import hashlib
import hmac
import subprocess
import sys
from importlib.util import find_spec
from urllib.parse import quote

import pytest

from llm.bedrock import BedrockWire
from llm.config import BedrockConfig
from llm.routing.outcomes import outcome_of
from llm.sigv4 import aws_signer
from rag.base.errors import Unavailable
from rag.infer.exchange import Request

KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CONFIG = BedrockConfig(model="arn:aws:bedrock:eu-west-1:1:application-inference-profile/ab", region="eu-west-1")

with_botocore = pytest.mark.skipif(find_spec("botocore") is None, reason="the extra `bedrock` is not installed")


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An environment without credentials, where none are looked for on the network."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def signature(request: Request, signed: list[str]) -> str:
    """What the specification asks for, of what is sent."""
    date = request.headers["x-amz-date"]
    path = quote(request.address.target, safe="/-_.~")
    sent = request.headers | {"host": request.address.authority}
    headers = "".join(f"{name}:{sent[name]}\n" for name in signed)
    canonical = "\n".join(["POST", path, "", headers, ";".join(signed), hashed(request.body)])
    scope = f"{date[:8]}/eu-west-1/bedrock/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashed(canonical.encode())])
    key = f"AWS4{SECRET}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


@with_botocore
@pytest.mark.parametrize("token", [None, "a-session"])
async def test_a_request_is_signed_as_the_specification_asks(environment, token):
    environment.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    if token:
        environment.setenv("AWS_SESSION_TOKEN", token)
    wire = BedrockWire(CONFIG, aws_signer(CONFIG.region))
    request = await wire.endpoint.request(b'{"messages": []}')
    signed = ["content-type", "host", "x-amz-date"] + (["x-amz-security-token"] if token else [])
    assert request.headers.get("x-amz-security-token") == token
    assert request.headers["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{request.headers['x-amz-date'][:8]}/eu-west-1/bedrock/aws4_request, "
        f"SignedHeaders={';'.join(signed)}, Signature={signature(request, signed)}"
    )


@with_botocore
async def test_without_credentials_a_request_fails_and_the_service_starts(environment):
    wire = BedrockWire(CONFIG, aws_signer(CONFIG.region))
    with pytest.raises(Unavailable, match="no AWS credentials") as caught:
        await wire.endpoint.request(b"{}")
    assert outcome_of(caught.value) == "credentials", "another target is asked, and this one left alone"


@with_botocore
async def test_credentials_that_are_half_there_are_unavailable_and_not_shown(environment):
    environment.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    wire = BedrockWire(CONFIG, aws_signer(CONFIG.region))
    with pytest.raises(Unavailable, match="PartialCredentialsError") as caught:
        await wire.endpoint.request(b"{}")
    assert KEY_ID not in str(caught.value)


WITHOUT = """
import sys

sys.modules["botocore"] = None  # as if it were not installed

from llm.sigv4 import aws_signer
from rag.base.errors import ConfigError

try:
    aws_signer("eu-west-1")
except ConfigError as error:
    print(error)
"""


def test_without_the_extra_a_model_that_signs_is_refused():
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert "install groundwire[bedrock]" in run.stdout
