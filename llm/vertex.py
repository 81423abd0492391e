"""Vertex AI: Gemini's wire under the address of a project and a location, to whoever brings a token or a key."""

from urllib.parse import quote

from llm.config import VertexConfig
from llm.endpoint import Endpoint, Sign
from llm.gemini import GeminiWire

_GLOBAL = "global"


class VertexWire(GeminiWire):
    """The wire behind `{base_url}/projects/{project}/locations/{location}/publishers/google/models/{model}`.

    With an `api_key` that is sent; else `sign` adds a token to each request.
    """

    config: VertexConfig

    def __init__(self, config: VertexConfig, sign: Sign | None = None) -> None:
        self.config = config
        self.endpoint = Endpoint(
            config,
            f"{_base_url(config)}/projects/{config.project}/locations/{config.location}/publishers/google"
            f"/models/{quote(config.model, safe='')}:streamGenerateContent?alt=sse",
            {"x-goog-api-key": config.api_key} if config.api_key else {},
            sign=sign,
        )


def _base_url(config: VertexConfig) -> str:
    """The configured one, else the public one; a request to "global" goes wherever there is room."""
    if config.base_url is not None:
        return config.base_url.rstrip("/")
    prefix = "" if config.location == _GLOBAL else f"{config.location}-"
    return f"https://{prefix}aiplatform.googleapis.com/v1"
