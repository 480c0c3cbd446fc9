"""A function's types and docstring as JSON Schema, and arguments checked against that schema. Pure; standard library only.

Runs in the tool's child before every call, so it reads `__code__` itself: importing `inspect` would cost each call 6 ms.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union

Schema = dict[str, Any]

SIMPLE: dict[Any, Schema] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    list: {"type": "array"},
    dict: {"type": "object"},
    type(None): {"type": "null"},
}
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
ARTICLES = {"integer": "an integer", "array": "an array", "object": "an object", "null": "null"}

VARARGS, VARKEYWORDS = 0x04, 0x08  # code flags, see `inspect.CO_VARARGS`
ENTRY = re.compile(r"(?P<indent>[ ]+)(?P<name>\w+)[ ]*(\([^)]*\))?:[ ]*(?P<text>.*)")


class SchemaError(Exception):
    """The function cannot be a tool; the message says why."""


class BadArguments(Exception):
    """The arguments do not fit; the message is a sentence the model can act on."""


# --- types and docstring -> schema -----------------------------------------------------------------------------------------------


def parameters_of(function: Callable[..., Any]) -> Schema:
    """The JSON Schema of the function's parameters. Raises SchemaError for what has no schema."""
    inner: Any = unwrap(function)
    code = inner.__code__
    if code.co_flags & (VARARGS | VARKEYWORDS) or code.co_posonlyargcount:
        raise SchemaError("a tool's parameters must have names: no *args, no **kwargs, no positional-only ones")
    positional = code.co_varnames[: code.co_argcount]
    keyword = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    values = inner.__defaults__ or ()
    defaults = {**dict(zip(positional[len(positional) - len(values) :], values, strict=True)), **(inner.__kwdefaults__ or {})}
    hints = _hints(inner)
    said = argument_texts(inner.__doc__)
    names = (*positional, *keyword)
    return {
        "type": "object",
        "properties": {name: _parameter(name, hints, defaults, said) for name in names},
        "required": [name for name in names if name not in defaults],
        "additionalProperties": False,
    }


def unwrap(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function below decorators that used `functools.wraps`: its parameters are the real ones."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise SchemaError(f"its types cannot be resolved: {error}") from error


def _parameter(name: str, hints: Mapping[str, Any], defaults: Mapping[str, Any], said: Mapping[str, str]) -> Schema:
    if name not in hints:
        raise SchemaError(f"the parameter `{name}` needs a type")
    try:
        schema = schema_of(hints[name])
    except SchemaError as error:
        raise SchemaError(f"the parameter `{name}`: {error}") from None
    if name in said:
        schema["description"] = said[name]
    if name in defaults and isinstance(defaults[name], str | int | float | bool):
        schema["default"] = defaults[name]
    return schema


def schema_of(hint: Any) -> Schema:
    """One type's schema. Raises SchemaError naming a type that JSON cannot carry."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is None and _hashable_in(hint, SIMPLE):
        return dict(SIMPLE[hint])
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(each) for each in inner]}
    if origin is list:
        return {"type": "array", "items": schema_of(inner[0])}
    if origin is dict and inner[0] is str:
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    known = "str, int, float, bool, list[...], dict[str, ...], Literal[...], Optional[...], unions of these, Any"
    raise SchemaError(f"{hint!r} has no JSON form here; use {known}")


def _hashable_in(hint: Any, table: Mapping[Any, Schema]) -> bool:
    try:
        return hint in table
    except TypeError:
        return False


def description_of(docstring: str | None) -> str:
    """The first paragraph, on one line."""
    first = re.split(r"\n[ \t]*\n", (docstring or "").strip(), maxsplit=1)[0]
    return "" if _heads_arguments(first.split("\n")[0]) else " ".join(first.split())


def argument_texts(docstring: str | None) -> dict[str, str]:
    """What a Google-style `Args:` section says of each parameter."""
    lines = (docstring or "").expandtabs().split("\n")
    start = next((number for number, line in enumerate(lines) if _heads_arguments(line)), None)
    if start is None:
        return {}
    outer = len(lines[start]) - len(lines[start].lstrip())
    found: dict[str, str] = {}
    name, indent = "", 0
    for line in lines[start + 1 :]:
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= outer:
            break
        entry = ENTRY.fullmatch(line.rstrip())
        if entry and (not found or depth <= indent):
            name, indent = entry["name"], depth
            found[name] = entry["text"]
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _heads_arguments(line: str) -> bool:
    return line.strip() in ("Args:", "Arguments:", "Parameters:")


# --- arguments against the schema -------------------------------------------------------------------------------------------------


def check_arguments(schema: Schema, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the function's types want them (5.0 for an int is 5).

    Error handling: raises BadArguments naming everything that is wrong.
    """
    properties = schema["properties"]
    problems = [f"missing argument `{name}`" for name in schema["required"] if name not in arguments]
    accepted: dict[str, Any] = {}
    for name, value in arguments.items():
        try:
            if name not in properties:
                raise BadArguments(f"unknown argument `{name}` (known: {', '.join(properties) or 'none'})")
            accepted[name] = _accept(properties[name], value, f"`{name}`")
        except BadArguments as error:
            problems.append(str(error))
    if problems:
        raise BadArguments("; ".join(problems) + ". Nothing was run; correct the arguments and call again.")
    return accepted


def _accept(schema: Schema, value: Any, where: str) -> Any:
    if "anyOf" in schema:
        return _accept_any(schema["anyOf"], value, where)
    if "enum" in schema:
        if not any(type(value) is type(each) and value == each for each in schema["enum"]):
            raise BadArguments(f"{where} must be {_name(schema)}, not {_shown(value)}")
        return value
    wanted = schema.get("type")
    if wanted is None:
        return value
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    fits: bool = isinstance(value, PYTHON_TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    if not fits:
        raise BadArguments(f"{where} must be {_name(schema)}, not {_shown(value)}")
    if wanted == "array" and "items" in schema:
        return [_accept(schema["items"], each, f"{where}[{index}]") for index, each in enumerate(value)]
    if wanted == "object" and "additionalProperties" in schema:
        return {key: _accept(schema["additionalProperties"], each, f"{where}[{key!r}]") for key, each in value.items()}
    return value


def _accept_any(choices: list[Schema], value: Any, where: str) -> Any:
    problems = []
    for choice in choices:
        try:
            return _accept(choice, value, where)
        except BadArguments as error:
            problems.append(str(error))
    if len(choices) == 2 and {"type": "null"} in choices and value is not None:  # Optional: the other one is what was meant
        raise BadArguments(problems[choices.index({"type": "null"}) - 1])
    raise BadArguments(f"{where} must be {_name({'anyOf': choices})}, not {_shown(value)}")


def _name(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_name(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(repr(each) for each in schema["enum"])
    return ARTICLES.get(schema["type"], f"a {schema['type']}") if "type" in schema else "anything"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
