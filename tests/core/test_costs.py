"""Money and tokens of a request: as the vendor bills them, and never less than what was made."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.costs import Asked, bill, cost_of, estimated_tokens, plus, tokens_of
from agentd.ports import Message, ModelLimits, Prompt, ToolSpec
from agentwire.types import Image, LongPrice, Price, Text, Usage

PRICE = Price(input=2.0, output=8.0, cached=0.5)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(), 0.0),
        (Usage(input=1_000_000), 2.0),
        (Usage(input=1_000_000, cached=1_000_000), 0.5),
        (Usage(input=1_000_000, cached=250_000), 1.625),
        (Usage(output=1_000_000, reasoning=900_000), 8.0),
        (Usage(input=1, output=1), 0.00001),
        (Usage(input=5, cached=9), 0.000_004_5),  # a host that counts them apart, against what is said of Usage
    ],
)
def test_cached_input_has_its_price_and_reasoning_is_output(usage: Usage, dollars: float) -> None:
    """Prices are for a million tokens."""
    assert cost_of(usage, PRICE) == dollars


def test_what_is_put_into_the_cache_has_its_price() -> None:
    """Dearer than other input, also of a long request; where nobody says, the same."""
    usage = Usage(input=1000, cached=200, written=300, output=100)
    price = Price(input=2.0, output=8.0, cached=0.5, above=(LongPrice(tokens=500, input=4.0, output=12.0, cached=1.0),))
    assert cost_of(usage, evolve(price, above=())) == cost_of(evolve(usage, written=0), evolve(price, above=()))
    assert cost_of(usage, evolve(price, above=(), written=2.5)) == 0.00265
    assert cost_of(usage, evolve(price, written=2.5)) == 0.0049


def test_a_long_request_costs_more_as_a_whole() -> None:
    """Above so many tokens of input, cached ones among them."""
    price = Price(input=2.0, output=8.0, cached=0.5, above=(LongPrice(tokens=1000, input=4.0, output=12.0, cached=1.0),))
    assert cost_of(Usage(input=1000, output=1000), price) == 0.01
    assert cost_of(Usage(input=2000, cached=1000, output=1000), price) == 0.017


def test_an_unknown_price_is_no_price() -> None:
    """It is neither free nor guessed; what is free costs nothing, and says so."""
    assert cost_of(Usage(input=5), None) is None and cost_of(Usage(input=5), Price(input=0, output=0, cached=0)) == 0.0
    assert plus(None, None) is None and plus(None, 0.5) == plus(0.5, None) == 0.5 and plus(0.1, 0.2) == 0.3
    assert tokens_of(Usage(input=5, output=3, cached=4, reasoning=2)) == 8


def test_what_a_request_weighs() -> None:
    """System prompt, messages, tools and schema in characters; whether they say anything of tokens is known, too."""
    limits = ModelLimits(context=1000, max_output=100, chars_per_token=4.0, price=PRICE)
    message = Message("user", (Text(text="x" * 84),))  # 16 for being a message
    prompt = Prompt(model="m", system="s" * 100, messages=[message])
    assert Asked.of(prompt, limits) == Asked(characters=200, ratio=4.0, price=PRICE, plain=True)
    assert Asked.of(prompt, limits).tokens == 50
    tool = ToolSpec(name="look", description="d" * 10, parameters={"a": 1}, effect="read")
    more = Prompt(model="m", system="", messages=[message], tools=[tool], schema={"b": 22})
    assert Asked.of(more, limits).characters == 100 + 10 + 8 + 9
    seen = Prompt(model="m", system="", messages=[Message("user", (Image(blob="0" * 64, bytes=9, media="image/png"),))])
    assert not Asked.of(seen, limits).plain
    assert not Asked.of(prompt, ModelLimits(context=1, max_output=1, family="embedded")).plain


ASKED = Asked(characters=4000, ratio=4.0, price=PRICE)


@pytest.mark.parametrize(
    ("reported", "whole", "usage", "estimated"),
    [
        (Usage(input=900, output=70, cached=5), True, Usage(input=900, output=70, cached=5), False),
        (Usage(input=900), True, Usage(input=900), False),  # an empty reply
        (Usage(), True, Usage(input=1000, output=100), True),  # a host that reports nothing
        (Usage(), False, Usage(input=1000, output=100), True),  # cut: the report would have come last
        (Usage(input=900, output=1), False, Usage(input=900, output=100), True),  # cut: reported at its beginning
        (Usage(input=900, output=120), False, Usage(input=900, output=120), False),  # cut behind its report
    ],
)
def test_what_is_not_reported_is_estimated(reported: Usage, *, whole: bool, usage: Usage, estimated: bool) -> None:
    """And marked. A report that is whole is believed."""
    made = bill(ASKED, reported, 400, whole=whole)
    assert (made.usage, made.estimated, made.cost) == (usage, estimated, cost_of(usage, PRICE))


def test_of_a_request_nobody_remembers_only_the_report_counts() -> None:
    """Its price is not known."""
    made = bill(None, Usage(input=5), 400, whole=False)
    assert made.usage == Usage(input=5) and made.cost is None and not made.estimated


@given(st.integers(0, 10**7), st.floats(0.5, 8.0))
def test_an_estimate_is_rounded_up(characters: int, ratio: float) -> None:
    """Never below what the ratio says, by no more than a token above, but for the last digit of the division."""
    tokens = estimated_tokens(characters, ratio)
    assert tokens - 1 - 1e-6 < characters / ratio <= tokens + 1e-6


tokens = st.integers(0, 10**6)
prices = st.builds(Price, input=st.floats(0, 100), output=st.floats(0, 100), cached=st.floats(0, 100))


@given(tokens, tokens, tokens, tokens, prices)
def test_more_tokens_never_cost_less(first: int, second: int, more: int, output: int, price: Price) -> None:
    """In whatever mixture."""
    low, high = sorted((first, second))
    least = cost_of(Usage(input=high, cached=0, output=output), price)
    most = cost_of(Usage(input=high + low, cached=0, output=output + more), price)
    assert least is not None and most is not None and least <= most
