"""Budgets are hard: whatever runs at once, what is asked for at worst fits into what is left."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.budget import LEAST_OUTPUT, Budgets, Used, allowed_output, states, worst
from agentwire.errors import BudgetExceeded
from agentwire.types import BudgetState, Price, Usage

PRICE = Price(input=1.0, output=10.0, cached=0.1)
FREE = Price(input=0.0, output=0.0, cached=0.0)
NONE = Used()


def day(limit: float, *, used: float = 0.0, reserved: float = 0.0) -> list[BudgetState]:
    return [BudgetState(scope="day", unit="usd", limit=limit, used=used, reserved=reserved)]


def test_budgets_that_are_not_set_are_none() -> None:
    """And each that is has its own part of what was used; reserved is of the day."""
    assert states(Budgets(), turn=NONE, session=NONE, day=NONE) == ()
    found = states(
        Budgets(turn_cost=1, turn_tokens=10, session_cost=2, session_tokens=20, day_cost=3, day_tokens=30),
        turn=Used(1, 0.1),
        session=Used(2, 0.2),
        day=Used(3, 0.3),
        reserved=Used(4, 0.4),
    )
    assert [(state.scope, state.unit, state.limit, state.used, state.reserved) for state in found] == [
        ("turn", "usd", 1, 0.1, 0.0),
        ("turn", "tokens", 10, 1, 0.0),
        ("session", "usd", 2, 0.2, 0.0),
        ("session", "tokens", 20, 2, 0.0),
        ("day", "usd", 3, 0.3, 0.4),
        ("day", "tokens", 30, 3, 4),
    ]


@pytest.mark.parametrize(("configured", "wanted", "holds"), [(0.0, 0.5, 0.5), (1.0, 0.5, 0.5), (1.0, 5.0, 1.0), (1.0, 0.0, 1.0)])
def test_a_prompt_allows_no_more_than_is_configured(configured: float, wanted: float, holds: float) -> None:
    """Whichever is less."""
    (found,) = states(Budgets(turn_cost=configured), turn=NONE, session=NONE, day=NONE, max_cost=wanted)
    assert (found.scope, found.limit) == ("turn", holds)


def test_the_output_is_what_is_left_behind_the_input() -> None:
    """All of it, or as much as the tightest budget allows."""
    assert allowed_output([], "m", None, 10**9, 8000) == 8000
    assert allowed_output(day(1.0), "m", PRICE, 1000, 8000) == 8000
    assert allowed_output(day(0.011), "m", PRICE, 1000, 8000) == 1000
    assert allowed_output(day(1.0, used=0.5, reserved=0.49), "m", PRICE, 5000, 8000) == 500
    tokens = BudgetState(scope="turn", unit="tokens", limit=2000, used=700)
    assert allowed_output([*day(0.011), tokens], "m", PRICE, 1000, 8000) == 300


def test_too_little_is_left() -> None:
    """The error says which budget, how much was used and what to raise; a small model's reply may be as small as it is."""
    with pytest.raises(BudgetExceeded) as caught:
        allowed_output(day(5.0, used=4.99, reserved=0.0085), "a/m", PRICE, 1000, 8000)
    assert str(caught.value) == (
        "today's budget of $5.0000 does not allow another request: $4.9900 used, $0.0085 reserved for requests on their way, and "
        "a/m needs at least $0.0036. Raise [budget] day_cost, or use a cheaper model"
    )
    assert caught.value.details == {"scope": "day", "unit": "usd", "limit": 5.0, "used": 4.99} and caught.value.exit_code == 6
    few = [BudgetState(scope="turn", unit="tokens", limit=1200, used=100)]
    with pytest.raises(
        BudgetExceeded, match=r"the turn's budget of 1,200 tokens .* needs at least 1,256 tokens. Raise .* turn_tokens"
    ):
        allowed_output(few, "a/m", None, 1000, 8000)
    assert allowed_output(few, "a/m", None, 1000, 100) == 100
    turn = [BudgetState(scope="turn", unit="usd", limit=0.001)]
    with pytest.raises(BudgetExceeded, match=r"turn_cost \(--max-budget\)"):
        allowed_output(turn, "a/m", PRICE, 1000, 8000)


@pytest.mark.parametrize(
    ("scope", "remedy"),
    [("turn", "begin a new session"), ("session", "begin a new session"), ("day", "wait for the next day")],
)
def test_a_cheaper_model_saves_no_tokens(scope: Literal["turn", "session", "day"], remedy: str) -> None:
    """What helps against a budget of tokens is a larger one, or fewer tokens."""
    with pytest.raises(BudgetExceeded, match=rf"Raise \[budget\] {scope}_tokens, or {remedy}") as caught:
        allowed_output([BudgetState(scope=scope, unit="tokens", limit=1000, used=900)], "a/m", PRICE, 1000, 8000)
    assert "cheaper" not in str(caught.value)


def test_a_small_budget_is_written_out() -> None:
    """No amount is nothing but nothing."""
    with pytest.raises(
        BudgetExceeded, match=r"budget of \$0\.00002 does not .*: \$0\.0000 used, and a/m needs at least \$0\.0036\."
    ):
        allowed_output(day(0.00002), "a/m", PRICE, 1000, 8000)


def test_money_cannot_be_held_together_without_a_price() -> None:
    """Hard means hard: the model is not asked. In tokens it can be, and what is free costs nothing whatever was spent."""
    with pytest.raises(BudgetExceeded, match=r'price of a/m is not known.*\[parameters."a/m"\].*\[budget\] day_tokens'):
        allowed_output(day(1000.0), "a/m", None, 10, 8000)
    assert allowed_output(day(1.0, used=99.0), "local/m", FREE, 10_000, 8000) == 8000
    only_input = Price(input=1.0, output=0.0, cached=1.0)
    assert allowed_output(day(0.01), "e/m", only_input, 10_000, 8000) == 8000
    with pytest.raises(BudgetExceeded):
        allowed_output(day(0.01), "e/m", only_input, 10_001, 8000)


prices = st.builds(Price, input=st.floats(0, 50), output=st.floats(0.01, 100), cached=st.just(0.0))


@given(st.floats(0.0001, 10), st.floats(0, 10), prices, st.integers(0, 10**6), st.integers(1, 10**5))
def test_what_is_allowed_fits(limit: float, used: float, price: Price, tokens: int, most: int) -> None:
    """To the nano-dollar; and what is refused would not have been worth it."""
    try:
        output = allowed_output(day(limit, used=used), "m", price, tokens, most)
    except BudgetExceeded:
        least = worst(price, tokens, min(LEAST_OUTPUT, most)).cost
        assert used + least > limit - 2e-9
    else:
        assert min(LEAST_OUTPUT, most) <= output <= most
        assert used + worst(price, tokens, output).cost <= limit + 2e-9


def test_used_is_tokens_and_dollars() -> None:
    """They add up; an unknown cost adds nothing."""
    assert Used.of(Usage(input=3, output=4, cached=2), None) + Used(1, 0.5) == Used(8, 0.5)
    assert worst(None, 3, 4) == Used(7, 0.0)
