"""Types and docstrings become JSON Schema; arguments are taken or refused in words a model can act on."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.toolsources.function_schema import (
    BadArguments,
    Schema,
    SchemaError,
    argument_texts,
    check_arguments,
    description_of,
    parameters_of,
    schema_of,
)

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, STRING),
        (int, INTEGER),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (Any, {}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (list[int], {"type": "array", "items": INTEGER}),
        (list[list[str]], {"type": "array", "items": {"type": "array", "items": STRING}}),
        (dict[str, int], {"type": "object", "additionalProperties": INTEGER}),
        (Literal["a", 2], {"enum": ["a", 2]}),
        (Optional[str], {"anyOf": [STRING, {"type": "null"}]}),  # noqa: UP045 - this spelling is meant
        (str | None, {"anyOf": [STRING, {"type": "null"}]}),
        (int | list[str], {"anyOf": [INTEGER, {"type": "array", "items": STRING}]}),
    ],
)
def test_types(hint: Any, schema: Schema) -> None:
    """Each type that JSON carries has its schema, nested to any depth."""
    assert schema_of(hint) == schema


@pytest.mark.parametrize("hint", [bytes, tuple[int, ...], dict[int, str], set[str], list[complex], "unresolved", 5, []])
def test_types_without_json(hint: Any) -> None:
    """What JSON cannot carry is refused by name instead of becoming something else."""
    with pytest.raises(SchemaError, match="has no JSON form here; use str, int"):
        schema_of(hint)


def forecast(city: str, days: int = 3, *, units: Literal["c", "f"] = "c", tags: list[str] | None = None) -> str:
    """The forecast
    for a city.

    Not shown to models.

    Args:
        city: where, as
            people write it
        days (int): how many

        units: of temperature
    Returns:
        tags: not an argument
    """
    return city


FORECAST = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "where, as people write it"},
        "days": {"type": "integer", "description": "how many", "default": 3},
        "units": {"enum": ["c", "f"], "description": "of temperature", "default": "c"},
        "tags": {"anyOf": [{"type": "array", "items": STRING}, {"type": "null"}]},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def test_whole_function() -> None:
    """Types, defaults and the docstring together make the schema that models see."""
    assert parameters_of(forecast) == FORECAST
    assert description_of(forecast.__doc__) == "The forecast for a city."


def test_below_decorators() -> None:
    """A wrapper made with functools.wraps has the parameters of what it wraps."""

    @functools.wraps(forecast)
    def wrapper(*args: Any, **kwargs: Any) -> Any: ...

    assert parameters_of(wrapper) == FORECAST


def star(*args: int) -> None: ...
def stars(**kwargs: int) -> None: ...
def positional(a: int, /) -> None: ...
def untyped(a) -> None: ...  # type: ignore[no-untyped-def] # noqa: ANN001, RUF100
def unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821
def binary(a: bytes) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (star, "must have names"),
        (stars, "must have names"),
        (positional, "must have names"),
        (untyped, "the parameter `a` needs a type"),
        (unknown, "its types cannot be resolved: name 'Nowhere' is not defined"),
        (binary, "the parameter `a`: <class 'bytes'> has no JSON form"),
    ],
)
def test_functions_that_cannot_be_tools(function: Callable[..., Any], reason: str) -> None:
    """The refusal says what is wrong with which parameter."""
    with pytest.raises(SchemaError, match=reason):
        parameters_of(function)


@pytest.mark.parametrize(
    ("docstring", "description", "texts"),
    [
        (None, "", {}),
        ("One line.", "One line.", {}),
        ("One.\n   \n Two.", "One.", {}),
        ("Args:\n    a: first", "", {"a": "first"}),
        (
            "Does.\n\n\tArgs:\n\t\ta: first\n\t\t\tmore: of it\n\t\tb(str): second",
            "Does.",
            {"a": "first more: of it", "b": "second"},
        ),
        ("Does.\n\nArguments:\n  a:\n    below", "Does.", {"a": "below"}),
        ("Does.\n\nArgs:\n  nothing here\n  a: after it", "Does.", {"a": "after it"}),
        ("Does.\n\nArgs:\n  a: x\n\nNote: not one", "Does.", {"a": "x"}),
    ],
)
def test_docstrings(docstring: str | None, description: str, texts: dict[str, str]) -> None:
    """The first paragraph describes the tool, the lines of `Args:` its parameters; anything else is left alone."""
    assert description_of(docstring) == description
    assert argument_texts(docstring) == texts


def shape(**hints: Any) -> Schema:
    return {"properties": {name: schema_of(hint) for name, hint in hints.items()}, "required": [*hints]}


@pytest.mark.parametrize(
    ("hint", "value", "taken"),
    [
        (int, 5, 5),
        (int, 5.0, 5),
        (float, 5, 5),
        (float, 0.5, 0.5),
        (bool, True, True),
        (Any, {"any": ["thing"]}, {"any": ["thing"]}),
        (list[int], [1, 2.0], [1, 2]),
        (dict[str, float], {"a": 1}, {"a": 1}),
        (dict, {"a": object}, {"a": object}),
        (Literal["a", 2], 2, 2),
        (str | None, None, None),
        (int | str, "x", "x"),
        (list[int] | None, [1.0], [1]),
    ],
)
def test_arguments_taken(hint: Any, value: Any, taken: Any) -> None:
    """What fits passes; a whole number written as 5.0 is the integer that was meant."""
    accepted = check_arguments(shape(a=hint), {"a": value})["a"]
    assert accepted == taken
    assert type(accepted) is type(taken)


@pytest.mark.parametrize(
    ("hint", "value", "sentence"),
    [
        (str, 5, "`a` must be a string, not 5"),
        (int, 5.5, "`a` must be an integer, not 5.5"),
        (int, True, "`a` must be an integer, not True"),
        (float, "1", "`a` must be a number, not '1'"),
        (bool, 1, "`a` must be a boolean, not 1"),
        (list[int], [1, "x"], "`a`[1] must be an integer, not 'x'"),
        (dict[str, list[int]], {"k": [None]}, "`a`['k'][0] must be an integer, not None"),
        (Literal["a", 1], True, "`a` must be one of 'a', 1, not True"),
        (str | None, 5, "`a` must be a string, not 5"),
        (None | str, 5, "`a` must be a string, not 5"),
        (int | list[str] | dict[str, Any], "x", "`a` must be an integer or an array or an object, not 'x'"),
        (str, list(range(100)), f"`a` must be a string, not {str(list(range(100)))[:77]}..."),
    ],
)
def test_arguments_refused(hint: Any, value: Any, sentence: str) -> None:
    """The refusal says where, what was wanted and what came."""
    with pytest.raises(BadArguments) as caught:
        check_arguments(shape(a=hint), {"a": value})
    assert str(caught.value) == f"{sentence}. Nothing was run; correct the arguments and call again."


def test_all_that_is_wrong_is_said_at_once() -> None:
    """A model that reads the refusal can mend everything in one go."""
    with pytest.raises(BadArguments) as caught:
        check_arguments(FORECAST, {"days": "x", "town": "Rome"})
    assert str(caught.value).startswith(
        "missing argument `city`; `days` must be an integer, not 'x'; unknown argument `town` (known: city, days, units, tags). "
    )


def test_no_arguments_known() -> None:
    """A function without parameters says so."""
    with pytest.raises(BadArguments, match=r"unknown argument `x` \(known: none\)"):
        check_arguments(shape(), {"x": 1})


hints = st.recursive(
    st.sampled_from([str, int, float, bool, Any, list, dict, Literal["x", 1]]),
    lambda inner: st.one_of(
        inner.map(lambda hint: list[hint]),  # type: ignore[valid-type]
        inner.map(lambda hint: dict[str, hint]),  # type: ignore[valid-type]
        inner.map(lambda hint: Optional[hint]),  # noqa: UP045
    ),
    max_leaves=4,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(hint=hints, value=json_values)
def test_any_json_is_taken_or_refused(hint: Any, value: Any) -> None:
    """Whatever a model sends, it is taken with an equal value or refused; a schema is always JSON."""
    schema = shape(a=hint)
    json.dumps(schema)
    try:
        assert check_arguments(schema, {"a": value}) == {"a": value}
    except BadArguments as error:
        assert "`a`" in str(error)  # noqa: PT017 - either end is right
