"""Tokens and money of reports as people read them. Pure, standard library only.

What is not known is shown as `?`, never as nothing.
"""

from __future__ import annotations

from agentwire import money

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_NAMED = 3
"""Models that a footnote names."""


def tokens(count: float) -> str:
    """`950`, `12.3k`, `4.56M`."""
    for limit, unit, digits in ((10**9, "G", 2), (10**6, "M", 2), (10**4, "k", 1)):
        if count >= limit:
            return f"{count / (limit if unit != 'k' else 1000):.{digits}f}{unit}"
    return f"{count:.0f}"


def cost(row: Mapping[str, Any]) -> str:
    """What a row of a usage report has cost: `$0.0123`, with ` + ?` if a part of it has no known price, or `?`."""
    if not row["unpriced"]:
        return money.shown(row["cost"])
    return f"{money.shown(row['cost'])} + ?" if row["unpriced"] < row["requests"] else "?"


def brief(row: Mapping[str, Any]) -> str:
    """A row as a phrase: `2 requests, 12.3k tokens in (8000 cached), 950 out, $0.0123`."""
    used, count = row["usage"], row["requests"]
    requests = "1 request" if count == 1 else f"{count} requests"
    cached = f" ({tokens(used['cached'])} cached)" if used["cached"] else ""
    return f"{requests}, {tokens(used['input'])} tokens in{cached}, {tokens(used['output'])} out, {cost(row)}"


def footnotes(report: Mapping[str, Any]) -> list[str]:
    """What the numbers of a report leave out, and what to do about it."""
    notes, total = [], report["total"]
    if total["unpriced"]:
        count, models = total["unpriced"], report["unpriced"]
        one = "1 request of a model" if count == 1 else f"{count} requests of models"
        verb = "is" if count == 1 else "are"
        names = ", ".join(models[:_NAMED]) + (f" and {len(models) - _NAMED} more" if len(models) > _NAMED else "")
        table = f'[parameters."{models[0]}"]' if models else "[parameters.MODEL]"
        notes.append(
            f"? {one} without a known price {verb} not counted ({names}): what it costs from now on can be set as price_input and "
            f"price_output under {table}"
        )
    if total["estimated"]:
        count = total["estimated"]
        verb = "request was" if count == 1 else "requests were"
        notes.append(f"{count} {verb} cut short or not reported by the host: the tokens are estimated")
    return notes


def budgets(states: Sequence[Mapping[str, Any]], *, session: bool) -> list[str]:
    """A line for each budget: what is left of it, or, where no session was asked about or none of its turns runs, what it is."""
    return [_budget(state) if _begun(state, session=session) else _limit(state) for state in states]


def _begun(state: Mapping[str, Any], *, session: bool) -> bool:
    return state["scope"] == "day" or (session and (state["scope"] == "session" or state["used"] > 0))


def _limit(state: Mapping[str, Any]) -> str:
    return f"budget of each {state['scope']}: {_shown(state)(state['limit'])}"


def _budget(state: Mapping[str, Any]) -> str:
    shown = _shown(state)
    left = max(state["limit"] - state["used"] - state["reserved"], 0)
    held = f", {shown(state['reserved'])} reserved" if state["reserved"] else ""
    what = {"turn": "the turn", "session": "the session", "day": "today (UTC)"}[state["scope"]]
    return f"budget of {what}: {shown(state['limit'])}, {shown(state['used'])} used{held}, {shown(left)} left"


def _shown(state: Mapping[str, Any]) -> Callable[[float], str]:
    return money.shown if state["unit"] == "usd" else _whole


def _whole(count: float) -> str:
    return f"{tokens(count)} tokens"
