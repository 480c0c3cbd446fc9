"""`session set`, `get`, `pin` and `unpin`: preferences, and the variables that a session's tools see."""

from __future__ import annotations

from agentctl.client import Client
from agentctl.output import Output
from agentwire.errors import InvalidParams, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from typing import Any

    from agentwire.paths import Paths

_DEFAULTS: dict[str, Any] = {"model": "", "max_steps": 0, "instructions": "", "pinned": False}
"""Every preference, with the value that means `as configured`."""
_VARIABLE = "var."


def set_(paths: Paths, args: Namespace, out: Output) -> int:
    """Changes what is named."""
    preferences, variables = _changes(args.assignments, args.unset)
    return _apply(paths, args.session, preferences, variables, out, as_json=args.json)


def pin_(paths: Paths, args: Namespace, out: Output) -> int:
    """Keeps it from being cleaned up."""
    return _apply(paths, args.session, {"pinned": True}, {}, out)


def unpin_(paths: Paths, args: Namespace, out: Output) -> int:
    """No longer."""
    return _apply(paths, args.session, {"pinned": False}, {}, out)


def get_(paths: Paths, args: Namespace, out: Output) -> int:
    """All settings, or the bare value of one."""
    if args.name and not args.name.startswith(_VARIABLE):
        _known(args.name)
    with Client.connect(paths) as client:
        settings = client.call("session/settings", {"session": args.session})
    values = {name: settings["preferences"][name] for name in _DEFAULTS}
    values |= {_VARIABLE + name: value for name, value in sorted(settings["variables"].items())}
    if args.name and args.name not in values:
        raise NotFound(f"the session has no variable {args.name.removeprefix(_VARIABLE)}")
    if args.json:
        out.document(values[args.name] if args.name else settings)
    elif args.name:
        out.say(_text(values[args.name]))
    else:
        out.table(("NAME", "VALUE"), [(name, _shown(name, value, out)) for name, value in values.items()])
    return 0


def _apply(
    paths: Paths,
    session: str,
    preferences: Mapping[str, Any],
    variables: Mapping[str, str | None],
    out: Output,
    *,
    as_json: bool = False,
) -> int:
    with Client.connect(paths) as client:
        params = {"session": session, "preferences": {**dict.fromkeys(_DEFAULTS), **preferences}, "variables": dict(variables)}
        settings = client.call("session/set", params)
    if as_json:
        out.document(settings)
    return 0


def _changes(assignments: list[str], unset: list[str]) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Preferences and variables as `session/set` takes them."""
    preferences: dict[str, Any] = {}
    variables: dict[str, str | None] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InvalidParams(f"expected NAME=VALUE, got {assignment!r}; --unset NAME takes a value back")
        if name.startswith(_VARIABLE):
            variables[_variable(name)] = value
        else:
            preferences[name] = _value(_known(name), value)
    for name in unset:
        if name.startswith(_VARIABLE):
            variables[_variable(name)] = None
        else:
            preferences[name] = _DEFAULTS[_known(name)]
    if not (preferences or variables):
        raise InvalidParams("nothing to set: give NAME=VALUE or --unset NAME; the names are " + ", ".join([*_DEFAULTS, "var.NAME"]))
    return preferences, variables


def _variable(name: str) -> str:
    bare = name.removeprefix(_VARIABLE)
    if not (bare.isascii() and bare.isidentifier()):
        raise InvalidParams(f"{bare!r} is no name for a variable: letters, digits and _, no digit first")
    return bare


def _known(name: str) -> str:
    if name in _DEFAULTS:
        return name
    from difflib import get_close_matches

    near = get_close_matches(name, _DEFAULTS, 1)
    known = ", ".join([*_DEFAULTS, "var.NAME"])
    variable = f"; for a variable say var.{name}" if name.isascii() and name.isidentifier() else ""
    hint = f"did you mean {near[0]}?" if near else f"there are {known}{variable}"
    raise InvalidParams(f"there is no setting {name!r}; {hint}")


def _value(name: str, text: str) -> Any:
    default = _DEFAULTS[name]
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise InvalidParams(f"{name}: expected true or false, got {text!r}")
        return text == "true"
    if isinstance(default, int):
        if not (text.isascii() and text.isdecimal()):
            raise InvalidParams(f"{name}: expected a whole number (0: as configured), got {text!r}")
        return int(text)
    return text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(name: str, value: Any, out: Output) -> str:
    configured = out.tty and name in ("max_steps", "instructions") and not value
    return "(as configured)" if configured else _text(value)
