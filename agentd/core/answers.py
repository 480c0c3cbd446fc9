"""Answers that must follow a JSON schema: is the schema one, and does an answer follow it.

The model's host is asked to keep to it, but not every host does, and no schema can keep a model from ending too early: so the
answer is looked at when it is whole. Both happen in a worker thread, for the library takes long to import. Regular expressions of a
schema have a time limit and let the other threads go on, which Python's own do not; nothing in it is ever fetched from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import trio

from agentwire.errors import InvalidParams

MAX_REJECTIONS: Final = 2
"""Times a turn's answer is sent back; the third that does not follow the schema ends the turn."""
_MAX_SCHEMA = 64 * 1024
"""Bytes of a schema: it goes with every request of the turn."""
_MAX_DEPTH = 64
_PATTERN_LIMIT = 0.25
"""Seconds for one regular expression on one text: there are some that never end."""
_SHOWN = 300  # characters of a reason: it may quote the answer
_AGAIN = "Your answer is not valid: {reason}. Answer again with nothing but JSON that follows the schema."


async def refuse_unusable(schema: Mapping[str, Any]) -> None:
    """Error handling: InvalidParams for what is no JSON schema, or one that hosts would not take."""
    if len(msgspec.json.encode(schema)) > _MAX_SCHEMA:
        raise InvalidParams(f"params.schema: a schema has at most {_MAX_SCHEMA // 1024} KiB")
    if _depth(schema) > _MAX_DEPTH:
        raise InvalidParams(f"params.schema: it is nested more than {_MAX_DEPTH} deep")
    if schema.get("type") != "object":
        raise InvalidParams('params.schema: its "type" must be "object": that is what all model hosts take')
    if said := await trio.to_thread.run_sync(_wrong, schema):
        raise InvalidParams(f"params.schema: {said}")


async def rejection(schema: Mapping[str, Any], text: str) -> str:
    """What the model is told of an answer that does not follow the schema; empty for one that does."""
    reason = await trio.to_thread.run_sync(_problem, schema, text)
    return _AGAIN.format(reason=reason) if reason else ""


def _wrong(schema: Mapping[str, Any]) -> str:
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return short(f"{error.json_path}: {error.message}")
    lost = next((ref for ref in _references(schema) if not _leads_somewhere(schema, ref)), "")
    return short(f"there is nothing at {lost!r} in it, and nothing is fetched from elsewhere") if lost else ""


def _references(value: Any) -> Iterator[str]:
    """Every `$ref` anywhere inside; what merely looks like one (in an `enum`) is rare, and refused without harm."""
    if isinstance(value, dict) and isinstance(value.get("$ref"), str):
        yield value["$ref"]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(inner)


def _leads_somewhere(schema: Any, ref: str) -> bool:
    """A JSON pointer into the schema itself (RFC 6901); names of `$id` and `$anchor` are the library's to find."""
    if not ref.startswith("#/"):
        return ref.startswith("#") or not ref.startswith(("http:", "https:", "file:", "/", "."))
    for step in unquote(ref[2:]).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, list) and name.isdecimal() and int(name) < len(schema):
            schema = schema[int(name)]
        elif isinstance(schema, dict) and name in schema:
            schema = schema[name]
        else:
            return False
    return True


def _problem(schema: Mapping[str, Any], text: str) -> str:
    try:
        answer = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        return short(f"it is no JSON ({error})")
    try:
        wrong = mismatch(checker()(schema), answer)
    except ValueError as error:
        return short(str(error))
    return short(f"{wrong.json_path}: {wrong.message}") if wrong else ""


def mismatch(validator: Any, value: Any) -> Any:
    """The library's error that tells most about why `value` does not follow the validator's schema, None if it does.

    Error handling: ValueError for a schema that cannot be followed.
    """
    import regex
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        return best_match(validator.iter_errors(value))
    except (Unresolvable, RecursionError, TimeoutError, regex.error) as error:
        raise ValueError(f"the schema cannot be followed ({error})") from None


def checker() -> Any:
    """The library's validator as a function of a schema, with regular expressions that end. Takes long the first time."""
    import jsonschema
    import regex
    from referencing import Registry

    def search(pattern: str, text: str) -> bool:
        try:
            return regex.search(pattern, text, timeout=_PATTERN_LIMIT, concurrent=True) is not None
        except TimeoutError:
            raise TimeoutError(f"the pattern {pattern!r} takes too long") from None

    def matches(_: Any, pattern: str, text: Any, __: Any) -> Iterator[Any]:
        if isinstance(text, str) and not search(pattern, text):
            yield jsonschema.ValidationError(f"{text!r} does not match {pattern!r}")

    def named(validator: Any, properties: Any, answer: Any, _: Any) -> Iterator[Any]:
        if isinstance(answer, dict):
            for pattern, inner in properties.items():
                for name, value in answer.items():
                    if search(pattern, name):
                        yield from validator.descend(value, inner, path=name, schema_path=pattern)

    def other(validator: Any, allowed: Any, answer: Any, schema: Any) -> Iterator[Any]:
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        names = answer if isinstance(answer, dict) else ()
        for name in [name for name in names if name not in known and not any(search(pattern, name) for pattern in patterns)]:
            if isinstance(allowed, dict):
                yield from validator.descend(answer[name], allowed, path=name)
            elif not allowed:
                yield jsonschema.ValidationError(f"Additional properties are not allowed ({name!r} was unexpected)")

    # Its own `unevaluatedProperties` would search with Python's expressions; no host knows that keyword.
    own = {"pattern": matches, "patternProperties": named, "additionalProperties": other, "unevaluatedProperties": lambda *_: ()}
    return partial(jsonschema.validators.extend(jsonschema.Draft202012Validator, own), registry=Registry())


def short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= _MAX_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return depth
