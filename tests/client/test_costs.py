"""Tokens and money as people read them: short, and never less than they are."""

from __future__ import annotations

from typing import Any

import pytest

from agentctl import costs


def row(
    requests: int = 2, *, cost: float | None = 0.0123, unpriced: int = 0, estimated: int = 0, cached: int = 0
) -> dict[str, Any]:
    usage = {"input": 12_345, "output": 950, "cached": cached, "reasoning": 0}
    return {
        "key": "k",
        "requests": requests,
        "usage": usage,
        "cost": cost,
        "unpriced": unpriced,
        "estimated": estimated,
        "title": "",
    }


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (950, "950"), (9_999, "9999"), (12_345, "12.3k"), (1_234_567, "1.23M"), (2_500_000_000, "2.50G")],
)
def test_tokens(count: int, shown: str) -> None:
    """In at most six characters."""
    assert costs.tokens(count) == shown


def test_what_has_no_price_is_no_zero() -> None:
    """Wholly or in part."""
    assert costs.cost(row()) == "$0.0123"
    assert costs.cost(row(unpriced=1)) == "$0.0123 + ?"
    assert costs.cost(row(unpriced=2, cost=None)) == "?"


def test_a_row_as_a_phrase() -> None:
    """What was cached is said where something was."""
    assert costs.brief(row()) == "2 requests, 12.3k tokens in, 950 out, $0.0123"
    assert costs.brief(row(1, cached=8000)) == "1 request, 12.3k tokens in (8000 cached), 950 out, $0.0123"


def test_footnotes_say_what_is_missing() -> None:
    """Which models have no price and where to set it; how much is estimated; nothing where nothing is missing."""
    assert costs.footnotes({"total": row(), "unpriced": []}) == []
    many = [f"a/{number}" for number in range(5)]
    unpriced, estimated = costs.footnotes({"total": row(9, unpriced=3, estimated=1), "unpriced": many})
    assert unpriced.startswith("? 3 requests of models without a known price are not counted (a/0, a/1, a/2 and 2 more):")
    assert unpriced.endswith('price_input and price_output under [parameters."a/0"]')
    assert estimated == "1 request was cut short or not reported by the host: the tokens are estimated"
    (one,) = costs.footnotes({"total": row(9, unpriced=1), "unpriced": ["a/0"]})
    assert one.startswith("? 1 request of a model without a known price is not counted (a/0):")


def test_budgets_say_what_is_left() -> None:
    """Never less than nothing; what is on its way is not left."""
    day = {"scope": "day", "unit": "usd", "limit": 5.0, "used": 1.25, "reserved": 0.5}
    session = {"scope": "session", "unit": "tokens", "limit": 100_000.0, "used": 120_000.0, "reserved": 0.0}
    assert costs.budgets([day, session], session=True) == [
        "budget of today (UTC): $5.0000, $1.2500 used, $0.5000 reserved, $3.2500 left",
        "budget of the session: 100.0k tokens, 120.0k tokens used, 0 tokens left",
    ]
    turn = {"scope": "turn", "unit": "usd", "limit": 1.0, "used": 0.0, "reserved": 0.0}
    assert costs.budgets([turn, {**turn, "used": 0.25}], session=True) == [
        "budget of each turn: $1.0000",
        "budget of the turn: $1.0000, $0.2500 used, $0.7500 left",
    ]


def test_budgets_of_nobody_are_limits() -> None:
    """Where no session is asked about, there is none of which something could be left; a small limit is written out."""
    day = {"scope": "day", "unit": "usd", "limit": 0.00002, "used": 0.0, "reserved": 0.0}
    session, turn = {**day, "scope": "session"}, {**day, "scope": "turn", "unit": "tokens", "limit": 20_000}
    assert costs.budgets([turn, session, day], session=False) == [
        "budget of each turn: 20.0k tokens",
        "budget of each session: $0.00002",
        "budget of today (UTC): $0.00002, $0.0000 used, $0.00002 left",
    ]
