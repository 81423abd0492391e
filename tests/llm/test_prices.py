import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.config import ExtractiveConfig, OpenAIConfig
from llm.prices import Price, Tier, bound_microusd, cost_microusd, listed_price
from llm.tariff import PriceTariff, most_input_tokens, tariff_of
from rag.base.types import Usage
from tests.prompts import a_prompt

OPENAI = "https://api.openai.com/v1"
CHEAP = Price(input_usd_per_mtok=0.15, output_usd_per_mtok=0.6, cached_usd_per_mtok=0.075)

rates = st.floats(0, 100).map(lambda rate: round(rate, 4))
prices = st.builds(
    Price,
    input_usd_per_mtok=rates,
    output_usd_per_mtok=rates,
    cached_usd_per_mtok=st.none() | rates,
    cache_write_usd_per_mtok=st.none() | rates,
    tiers=st.lists(
        st.builds(Tier, above_input_tokens=st.integers(1, 10_000), input_usd_per_mtok=rates, output_usd_per_mtok=rates),
        max_size=2,
    ).map(lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above_input_tokens))),
)


def test_a_call_costs_its_tokens_and_nothing_is_lost_to_rounding():
    assert cost_microusd(CHEAP, Usage(input_tokens=1_000_000, output_tokens=1_000_000)) == 750_000
    assert cost_microusd(CHEAP, Usage(input_tokens=1, output_tokens=0)) == 1
    assert cost_microusd(CHEAP, Usage(input_tokens=0, output_tokens=0)) == 0


def test_cached_tokens_cost_what_the_provider_asks_for_them():
    whole = Usage(input_tokens=1_000, output_tokens=0)
    assert cost_microusd(CHEAP, whole) == 150
    assert cost_microusd(CHEAP, Usage(input_tokens=1_000, output_tokens=0, cached_tokens=800)) == 90
    written = Price(input_usd_per_mtok=1, output_usd_per_mtok=1, cache_write_usd_per_mtok=1.25)
    assert cost_microusd(written, Usage(input_tokens=1_000, output_tokens=0, cache_write_tokens=400)) == 1_100


def test_a_long_prompt_moves_the_whole_call_into_its_tier():
    tier = Tier(above_input_tokens=100, input_usd_per_mtok=2, output_usd_per_mtok=3)
    price = Price(input_usd_per_mtok=1, output_usd_per_mtok=1, tiers=(tier,))
    assert cost_microusd(price, Usage(input_tokens=100, output_tokens=10)) == 110
    assert cost_microusd(price, Usage(input_tokens=101, output_tokens=10)) == 232


@given(
    price=prices,
    most=st.tuples(st.integers(0, 20_000), st.integers(0, 5_000)),
    parts=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_no_call_costs_more_than_its_bound(price, most, parts):
    input_tokens, output_tokens = int(most[0] * parts[0]), int(most[1] * parts[1])
    cached = int(input_tokens * parts[2])
    written = int((input_tokens - cached) * parts[3])
    usage = Usage(
        input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=cached, cache_write_tokens=written
    )
    assert 0 <= cost_microusd(price, usage) <= bound_microusd(price, *most)


@given(st.text(max_size=200))
def test_no_prompt_has_more_tokens_than_bytes(question):
    prompt = a_prompt(question, "a source")
    n_bytes = sum(len(turn.content.encode("utf-8", "surrogatepass")) for turn in prompt.messages)
    assert most_input_tokens(prompt) >= n_bytes


def test_the_list_knows_the_models_of_providers_and_their_tiers():
    listed = listed_price("gpt-4o-mini", OPENAI)
    assert listed == CHEAP, "the price of an old model; a new edition of the list may tell another"
    gemini = listed_price("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta")
    assert gemini is not None
    assert [tier.above_input_tokens for tier in gemini.tiers] == [200_000]
    assert gemini.tiers[0].input_usd_per_mtok > gemini.input_usd_per_mtok


@pytest.mark.parametrize(("model", "url"), [("no-such-model", OPENAI), ("gpt-4o", "http://localhost:11434/v1")])
def test_the_list_does_not_guess(model, url):
    assert listed_price(model, url) is None


def test_settings_go_before_the_list():
    own = Price(input_usd_per_mtok=1, output_usd_per_mtok=2)
    usage = Usage(input_tokens=10, output_tokens=10)
    configured = tariff_of(OpenAIConfig(model="gpt-4o-mini", base_url=OPENAI, price=own))
    listed = tariff_of(OpenAIConfig(model="gpt-4o-mini", base_url=OPENAI))
    assert configured is not None
    assert listed is not None
    assert (configured.cost(usage), listed.cost(usage)) == (30, 8)
    assert tariff_of(OpenAIConfig(model="mine", base_url="http://localhost:1/v1")) is None
    free = tariff_of(ExtractiveConfig())
    assert free is not None
    assert free.bound(a_prompt("why?")) == 0


def test_a_call_that_was_cut_off_is_counted_by_what_it_wrote():
    prompt = a_prompt("why?")
    assert PriceTariff(CHEAP).estimate(prompt, "twelve bytes") == Usage(
        input_tokens=prompt.n_tokens, output_tokens=3, estimated=True
    )
