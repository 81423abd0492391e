import pytest

from llm.config import OpenAIConfig
from llm.endpoint import Endpoint, bearer
from rag.base.errors import ConfigError
from rag.base.secret import Secret
from rag.infer.exchange import Request

URL = "https://models.example:8443/v1/chat?x=1"


def config(**headers: str) -> OpenAIConfig:
    return OpenAIConfig(
        base_url="http://upstream/v1", model="m", headers={name: Secret(value) for name, value in headers.items()}
    )


async def test_a_request_carries_the_body_the_headers_and_the_connect_timer():
    request = await Endpoint(config(team="search"), URL, bearer(Secret("sk-1")), accept="a/b").request(b"{}")
    assert (request.address.text, request.body) == (URL, b"{}")
    assert request.headers["authorization"] == "Bearer sk-1"
    assert (request.headers["team"], request.headers["accept"]) == ("search", "a/b")
    assert request.headers["accept-encoding"] == "identity"
    assert request.connect_timeout_s == 5.0


async def test_a_configured_header_wins_whatever_its_case():
    request = await Endpoint(config(Authorization="Other x"), URL, bearer(Secret("sk-1"))).request(b"")
    assert [(name, value) for name, value in request.headers.items() if name.lower() == "authorization"] == [
        ("authorization", "Other x")
    ]


async def test_a_signature_is_made_from_the_whole_request():
    async def sign(request: Request) -> None:
        request.headers["signature"] = f"{request.address.target} {request.body.decode()}"

    request = await Endpoint(config(), URL, {}, sign=sign).request(b"body")
    assert request.headers["signature"] == "/v1/chat?x=1 body"


def test_messages_name_the_host_and_nothing_after_it():
    assert Endpoint(config(), URL, {}).address == "https://models.example:8443"
    assert bearer(None) == {}


@pytest.mark.parametrize("value", ["a\nb", "\u00e9"])
def test_a_value_that_no_header_can_hold_is_refused_and_not_shown(value):
    with pytest.raises(ConfigError, match="'team'") as caught:
        Endpoint(config(team=value), URL, {})
    assert value not in str(caught.value)
