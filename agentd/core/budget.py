"""Whether a model may be asked once more, and how much it may answer, under all budgets that hold. Pure.

A request is counted at its worst before it is made: its input at the full price, and as much output as it is allowed. So whatever
runs at the same time, and however it ends, no budget is exceeded by more than what an input was estimated too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

from agentd.core.costs import cost_of, tokens_of
from agentwire import money
from agentwire.errors import BudgetExceeded
from agentwire.types import BudgetState, Price, Usage

LEAST_OUTPUT = 256
"""Tokens. A reply that may not be longer is not worth its input."""
_MILLION = 1_000_000
_HALF_NANO = 5e-10
"""US dollars that sums of floats may be off: costs are whole nano-dollars."""


@frozen(kw_only=True)
class Budgets:
    """As configured; 0: none. Costs in US dollars."""

    turn_cost: float = 0.0
    session_cost: float = 0.0
    day_cost: float = 0.0
    turn_tokens: int = 0
    session_tokens: int = 0
    day_tokens: int = 0


@frozen
class Used:
    """Tokens of input and output, and US dollars."""

    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Used) -> Used:
        return Used(self.tokens + other.tokens, self.cost + other.cost)

    @classmethod
    def of(cls, usage: Usage, cost: float | None) -> Used:
        return cls(tokens_of(usage), cost or 0.0)


def states(
    budgets: Budgets, *, turn: Used, session: Used, day: Used, reserved: Used = Used(), max_cost: float = 0.0
) -> tuple[BudgetState, ...]:
    """The budgets that are set and what was used of them. `reserved`: of the day. `max_cost`: what a prompt allows its turn at
    most, which is never more than what is configured."""
    turn_cost = min(filter(None, (budgets.turn_cost, max_cost)), default=0.0)
    rows: tuple[tuple[Literal["turn", "session", "day"], float, int, Used, Used], ...] = (
        ("turn", turn_cost, budgets.turn_tokens, turn, Used()),
        ("session", budgets.session_cost, budgets.session_tokens, session, Used()),
        ("day", budgets.day_cost, budgets.day_tokens, day, reserved),
    )
    found: list[BudgetState] = []
    for scope, cost, tokens, used, held in rows:
        if cost:
            found.append(BudgetState(scope=scope, unit="usd", limit=cost, used=used.cost, reserved=held.cost))
        if tokens:
            found.append(BudgetState(scope=scope, unit="tokens", limit=tokens, used=used.tokens, reserved=held.tokens))
    return tuple(found)


def allowed_output(budgets: Sequence[BudgetState], model: str, price: Price | None, tokens: int, max_output: int) -> int:
    """Tokens that the reply to an input of `tokens` may have, at most `max_output`.

    Error handling: BudgetExceeded if they are too few, or a budget in money meets a model whose price nobody knows.
    """
    output = max_output
    for budget in budgets:
        output = min(output, _output_under(budget, model, price, tokens, max_output))
        if output < min(LEAST_OUTPUT, max_output):
            raise _exceeded(budget, model, price, tokens)
    return output


def worst(price: Price | None, tokens: int, output: int) -> Used:
    """What a request costs at most. Of an unknown price nothing is known: it is refused where that would matter."""
    return Used(
        tokens + output, cost_of(Usage(input=tokens, written=tokens if price and price.written else 0, output=output), price) or 0.0
    )


def _output_under(budget: BudgetState, model: str, price: Price | None, tokens: int, max_output: int) -> int:
    left = budget.limit - budget.used - budget.reserved
    if budget.unit == "tokens":
        return int(left) - tokens
    if price is None:
        raise BudgetExceeded(
            f"the price of {model} is not known, so {_called(budget)} cannot hold it. Say what it costs with price_input and "
            f'price_output under [parameters."{model}"], set a budget in tokens instead ([budget] {budget.scope}_tokens), or use '
            "another model",
            scope=budget.scope,
            unit=budget.unit,
        )
    price = price.at(tokens)
    if not (price.input or price.output):
        return max_output
    left += _HALF_NANO
    left -= tokens * price.dearest / _MILLION
    if left < 0 or not price.output:
        return -1 if left < 0 else max_output
    return int(left * _MILLION / price.output)


def _exceeded(budget: BudgetState, model: str, price: Price | None, tokens: int) -> BudgetExceeded:
    flag = " (--max-budget)" if (budget.scope, budget.unit) == ("turn", "usd") else ""
    key = f"{budget.scope}_{'cost' if budget.unit == 'usd' else 'tokens'}"
    least = worst(price, tokens, LEAST_OUTPUT)
    needed = least.cost if budget.unit == "usd" else least.tokens
    held = f", {_amount(budget, budget.reserved)} reserved for requests on their way" if budget.reserved else ""
    return BudgetExceeded(
        f"{_called(budget)} does not allow another request: {_amount(budget, budget.used)} used{held}, and {model} needs at least "
        f"{_amount(budget, needed)}. Raise [budget] {key}{flag}, or {_OTHERWISE[budget.unit, budget.scope]}",
        scope=budget.scope,
        unit=budget.unit,
        limit=budget.limit,
        used=budget.used,
    )


def _called(budget: BudgetState) -> str:
    whose = {"turn": "the turn's", "session": "the session's", "day": "today's"}[budget.scope]
    return f"{whose} budget of {_amount(budget, budget.limit)}"


def _amount(budget: BudgetState, value: float) -> str:
    return money.shown(value) if budget.unit == "usd" else f"{int(value):,} tokens"


_SHORTER = "begin a new session: a shorter conversation takes fewer tokens"
_OTHERWISE = {
    **dict.fromkeys((("usd", "turn"), ("usd", "session"), ("usd", "day")), "use a cheaper model"),
    ("tokens", "turn"): _SHORTER,
    ("tokens", "session"): _SHORTER,
    ("tokens", "day"): "wait for the next day, which begins at midnight UTC",
}
"""What helps without a larger budget."""
