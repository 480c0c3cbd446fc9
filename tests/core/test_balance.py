"""Who is asked first: weights are exact, rotations even, and only those take part that are well."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.balance import Balance, Ready
from agentd.core.routes import Alias, Candidate, Route, Routes


def route(**aliases: Alias) -> Route:
    """The first of them."""
    return Routes("abc", "a/x", aliases).aliases[next(iter(aliases))]


def well(_: Candidate) -> bool:
    return True


def firsts(balance: Balance, made: Route, count: int, ready: Ready = well) -> str:
    return "".join(balance.order(made, ready)[0].provider for _ in range(count))


def spread(*weights: int) -> Route:
    models = tuple(f"{name}/x" for name in "abc"[: len(weights)])
    return route(all=Alias(models=models, strategy="round_robin", weights=weights))


@pytest.mark.parametrize(
    ("weights", "turns"), [((1, 1), "abab"), ((2, 1), "abaaba"), ((5, 1, 1), "aabacaa"), ((1, 1, 1), "abcabc")]
)
def test_rotation_is_smooth(weights: tuple[int, ...], turns: str) -> None:
    """Nobody gets all of its share in one go."""
    assert firsts(Balance(), spread(*weights), len(turns)) == turns


@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(1, 4))
def test_weights_are_exact(weights: list[int], rounds: int) -> None:
    """Over the sum of the weights each comes first as often as its weight."""
    counted = Counter(firsts(Balance(), spread(*weights), sum(weights) * rounds))
    assert [counted[name] for name in "abc"[: len(weights)]] == [weight * rounds for weight in weights]


def test_the_others_follow_in_their_order() -> None:
    balance = Balance()
    orders = ["".join(c.provider for c in balance.order(spread(1, 1, 1), well)) for _ in range(3)]
    assert orders == ["abc", "bac", "cab"]


def test_only_those_that_are_ready_take_turns() -> None:
    """The share of one that is left alone goes to the others by their weights, and later it has nothing to make up for."""
    balance, made = Balance(), spread(2, 1, 1)
    assert Counter(firsts(balance, made, 30, lambda c: c.provider != "a")) == {"b": 15, "c": 15}
    assert Counter(firsts(balance, made, 40)) == {"a": 20, "b": 10, "c": 10}
    assert len(firsts(balance, made, 40, lambda _: False)) == 40


def test_an_alias_in_a_rotation_is_one_member() -> None:
    """With a failover inside: its first has all of its share; with a rotation inside: each its share of the share."""
    failover = route(all=Alias(models=("pair", "c/x"), strategy="round_robin", weights=(3, 1)), pair=Alias(models=("a/x", "b/x")))
    assert Counter(firsts(Balance(), failover, 40)) == {"a": 30, "c": 10}
    assert [c.provider for c in Balance().order(failover, well)] == ["a", "b", "c"]
    rotation = route(
        all=Alias(models=("pair", "c/x"), strategy="round_robin", weights=(3, 1)),
        pair=Alias(models=("a/x", "b/x"), strategy="round_robin", weights=(2, 1)),
    )
    assert Counter(firsts(Balance(), rotation, 40)) == {"a": 20, "b": 10, "c": 10}


def test_a_rotation_that_is_not_asked_does_not_move_on() -> None:
    """Behind another that answers it stays where it is."""
    made = route(all=Alias(models=("c/x", "pair")), pair=Alias(models=("a/x", "b/x"), strategy="round_robin"))
    balance = Balance()
    assert firsts(balance, made, 3) == "ccc"
    assert firsts(balance, made.members[1], 4) == "abab"  # type: ignore[arg-type]


def test_the_least_busy_for_its_weight() -> None:
    """Ties in order."""
    made = route(all=Alias(models=("a/x", "b/x"), strategy="least_busy", weights=(1, 3)))
    balance = Balance()
    for name in (taken := firsts_while_busy(balance, made, 8)):
        assert name in "ab"
    assert taken == "abbbabbb"
    balance.busy.clear()
    assert firsts(balance, made, 3) == "aaa"


def firsts_while_busy(balance: Balance, made: Route, count: int) -> str:
    """Each stays open."""
    names = ""
    for _ in range(count):
        first = balance.order(made, well)[0]
        balance.busy[first] += 1
        names += first.provider
    return names


def test_new_routes_begin_anew() -> None:
    balance = Balance()
    assert firsts(balance, spread(1, 1), 1) == "a"
    balance.forget()
    assert firsts(balance, spread(1, 1), 1) == "a"
