"""Names of models: what they stand for, and what is said of those that stand for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.routes import STRATEGIES, Alias, Candidate, Route, Routes
from agentwire.errors import ConfigError, InvalidParams

ALIASES = {
    "fast": Alias(models=("a/small", "b/small"), strategy="round_robin", weights=(3, 1)),
    "best": Alias(models=("b/large", "fast")),
}


def routes(default: str = "a/one", aliases: Mapping[str, Alias] | None = None) -> Routes:
    return Routes(["a", "b"], default, aliases or ALIASES)


def names(route: Route) -> list[str]:
    return [str(candidate) for candidate in route.candidates]


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("a/x", ["a/x"]),
        ("b/x/y", ["b/x/y"]),
        ("b/", ["b/"]),
        ("", ["a/one"]),
        ("fast", ["a/small", "b/small"]),
        ("best", ["b/large", "a/small", "b/small"]),
        ("a/x, b/y,a/z", ["a/x", "b/y", "a/z"]),
        ("fast,a/small,a/x", ["a/small", "b/small", "a/x"]),
    ],
)
def test_names(name: str, candidates: list[str]) -> None:
    """The first slash ends the provider's name; a list is tried in order; what is named twice is one candidate."""
    assert names(routes().route(name)) == candidates


def test_an_alias_keeps_its_strategy_inside_of_another() -> None:
    """It is one member among the others, with its own balance."""
    best = routes().route("best")
    assert best.strategy == "failover"
    assert best.members[1] == routes().route("fast")
    assert best.members[1] == Route("fast", "round_robin", (Candidate("a", "small"), Candidate("b", "small")), (3, 1))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a/x", "a/x"),
        ("x", "a/x"),
        ("", "a/one"),
        ("fast", "fast"),
        ("fast, b/x ,y", "fast,b/x,a/y"),
    ],
)
def test_what_a_session_keeps(name: str, kept: str) -> None:
    """What the user wrote, each model with its provider, so that it means the same under another default."""
    assert routes().full_name(name) == kept


def test_an_alias_may_be_the_default() -> None:
    """A bare name then has the provider that would be asked first."""
    assert names(routes(default="best").route("")) == ["b/large", "a/small", "b/small"]
    assert routes(default="best").full_name("x") == "b/x"


@pytest.mark.parametrize("name", ["meta-llama/x", "fast,meta-llama/x", "meta-llama/x,a/y"])
def test_unknown_provider(name: str) -> None:
    """The user reads which ones there are."""
    for ask in (routes().route, routes().full_name):
        with pytest.raises(InvalidParams, match=r"'meta-llama'.*the providers are a, b"):
            ask(name)


@pytest.mark.parametrize("name", ["a/x,", ",", ",a/x"])
def test_a_list_with_a_hole(name: str) -> None:
    """Neither a model nor an alias is called nothing: the comma is what is wrong."""
    for ask in (routes().route, routes().full_name):
        with pytest.raises(InvalidParams, match=r"a model is missing beside a comma in '.*': several are named as provider/model,"):
            ask(name)


@pytest.mark.parametrize(
    ("name", "bare"), [("x", ["a/x"]), ("x, fast,b/y ,z", ["a/x", "a/z"]), ("a/x", []), ("fast", []), ("", [])]
)
def test_what_is_written_without_a_provider(name: str, bare: list[str]) -> None:
    """It gets the default's; of such only can a typing error be told."""
    assert [str(candidate) for candidate in routes().bare(name)] == bare


def test_near_names_are_offered() -> None:
    """Of aliases and of providers."""
    with pytest.raises(InvalidParams, match=r"no model alias 'fsat' \(did you mean fast\?\): the aliases are"):
        routes().route("fsat")
    with pytest.raises(InvalidParams, match=r"no model provider 'opnai' \(did you mean openai\?\); a model is named"):
        Routes(["openai", "local"], "local/x").route("opnai/gpt")


def test_an_alias_that_is_gone() -> None:
    """What a session kept is no bare model's name: the turn says which aliases there are."""
    with pytest.raises(InvalidParams, match=r"no model alias 'quick': the aliases are best, fast"):
        routes().route("quick")
    with pytest.raises(InvalidParams, match=r"there are no aliases"):
        Routes(["a"], "a/one").route("quick")


@pytest.mark.parametrize(
    ("aliases", "said"),
    [
        ({"x": ("x",)}, r"models\.x: the alias leads to itself: x -> x"),
        ({"x": ("a/1", "y"), "y": ("z",), "z": ("x",)}, r"models\.x: the alias leads to itself: x -> y -> z -> x"),
        ({"x": ("y",)}, r"models\.x: there is no model alias 'y'"),
        ({"x": ("gone/y",)}, r"models\.x: there is no model provider 'gone'"),
    ],
)
def test_wrong_aliases(aliases: dict[str, tuple[str, ...]], said: str) -> None:
    """Refused with the configuration: no session would ever get an answer from them."""
    with pytest.raises(ConfigError, match=said):
        routes(aliases={name: Alias(models=models) for name, models in aliases.items()})


@pytest.mark.parametrize(
    "wrong", [{"models": ()}, {"models": ("a/x",), "weights": (1, 2)}, {"models": ("a/x",), "weights": (0,)}, {"strategy": "best"}]
)
def test_values_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"weights|models|strategy|must be|Length"):
        Alias(**{"models": ("a/x",), **wrong})


@given(st.dictionaries(st.sampled_from("pqrs"), st.lists(st.sampled_from(["p", "q", "r", "s", "a/1", "b/2"]), min_size=1)))
def test_any_configuration_is_refused_or_ends(aliases: dict[str, list[str]]) -> None:
    """Whatever aliases name each other: either a ConfigError, or each has candidates that are models."""
    try:
        made = Routes(["a", "b"], "a/1", {name: Alias(models=tuple(models)) for name, models in aliases.items()})
    except ConfigError:
        return
    assert set(made.aliases) == set(aliases)
    assert all(set(names(route)) <= {"a/1", "b/2"} and names(route) for route in made.aliases.values())


def test_strategies_are_listed() -> None:
    assert STRATEGIES == ("failover", "round_robin", "least_busy")
