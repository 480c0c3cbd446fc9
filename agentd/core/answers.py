"""Answers that must follow a JSON schema: is the schema one, and does an answer follow it.

The model's host is asked to keep to it, but not every host does, and no schema can keep a model from ending too early: so the
answer is looked at when it is whole. Both take their time in a worker thread: the library is imported there, a schema may be as
slow as a regular expression can be, and nothing in it is ever fetched from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import trio

from agentwire.errors import InvalidParams

MAX_REJECTIONS: Final = 2
"""Times a turn's answer is sent back; the third that does not follow the schema ends the turn."""
_MAX_SCHEMA = 64 * 1024
"""Bytes of a schema: it goes with every request of the turn."""
_MAX_DEPTH = 64
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
        return _short(f"{error.json_path}: {error.message}")
    return ""


def _problem(schema: Mapping[str, Any], text: str) -> str:
    import jsonschema
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        answer = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        return _short(f"it is no JSON ({error})")
    try:
        wrong = best_match(jsonschema.Draft202012Validator(schema, registry=Registry()).iter_errors(answer))
    except (Unresolvable, RecursionError) as error:
        return _short(f"the schema cannot be followed ({error})")
    return _short(f"{wrong.json_path}: {wrong.message}") if wrong else ""


def _short(text: str) -> str:
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
