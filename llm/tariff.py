"""What the calls of one model cost, before and after they are made."""

import math

from llm.config import ExtractiveConfig, LlamaConfig, ModelConfig
from llm.prices import FREE, Price, bound_microusd, cost_microusd, listed_price
from rag.base.types import Prompt, Turn, Usage

TOKENS_PER_TURN = 16
"""What a provider's own format adds to a message at most: role and separators."""

TOKENS_PER_IMAGE = 4_096
"""More than a picture in full size is at the providers that publish how they count; what it was is settled after."""

BYTES_PER_TOKEN = 4
"""Of English text, about: for calls that were cut off before the provider counted."""


def tariff_of(config: ModelConfig) -> "PriceTariff | None":
    """What the model costs by its settings, else by the list; None when neither knows."""
    if isinstance(config, ExtractiveConfig | LlamaConfig):
        return PriceTariff(FREE)
    price = config.price or listed_price(config.model, config.base_url or "")
    return PriceTariff(price) if price else None


class PriceTariff:
    """The tariff of a model with a price."""

    def __init__(self, price: Price) -> None:
        self._price = price

    def bound(self, prompt: Prompt) -> int:
        """The most that an answer to `prompt`, which says its `max_tokens`, can cost in micro-dollars."""
        return bound_microusd(self._price, most_input_tokens(prompt), prompt.max_tokens or 0)

    def cost(self, usage: Usage) -> int:
        """What a call with this usage did cost, in micro-dollars."""
        return cost_microusd(self._price, usage)

    def estimate(self, prompt: Prompt, written: str) -> Usage:
        """The likely usage of a call that was cut off after so much text."""
        n_output = math.ceil(_n_bytes(written) / BYTES_PER_TOKEN)
        return Usage(input_tokens=prompt.n_tokens, output_tokens=n_output, estimated=True)


def most_input_tokens(prompt: Prompt) -> int:
    """A bound on the tokens of the prompt: no tokenizer in use makes more than one token of a byte."""
    tools = sum(len(tool.schema) + _n_bytes(tool.name + tool.description) for tool in prompt.options.tools)
    form = prompt.options.response_format
    schema = 0 if isinstance(form, str) else len(form.schema) + _n_bytes(form.name + form.description)
    return tools + schema + sum(_most_tokens(turn) for turn in prompt.messages)


def _most_tokens(turn: Turn) -> int:
    calls = sum(_n_bytes(call.id + call.name + call.arguments) for call in turn.tool_calls)
    text = _n_bytes(turn.content + turn.tool_call_id)
    return text + calls + TOKENS_PER_IMAGE * len(turn.images) + TOKENS_PER_TURN


def _n_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
