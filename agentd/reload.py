"""Two configurations, the one that is in force and the one that was read, become the one that is in force from now on. Pure."""

from __future__ import annotations

from functools import reduce
from typing import Any

from attrs import evolve, frozen

from agentwire.config import KEYS, Config


@frozen(kw_only=True)
class Reload:
    """`config`: what is in force now. `changed`: the keys with a new value; of these `waiting` keep the old one until a restart."""

    config: Config
    changed: tuple[str, ...]
    waiting: tuple[str, ...]


def merge(running: Config, read: Config) -> Reload:
    """What of `read` takes effect while the daemon runs."""
    names = dict.fromkeys((*read.settings, *running.settings))
    changed = tuple(name for name in names if running.settings.get(name) != read.settings.get(name))
    waiting = tuple(name for name in changed if name in KEYS and not KEYS[name].live)
    config = reduce(lambda made, name: _with(made, name.split("."), running.settings[name]), waiting, read)
    return Reload(config=evolve(config, **_described(running, read, waiting)), changed=changed, waiting=waiting)


def _with(section: Any, path: list[str], value: Any) -> Any:
    name, *rest = path
    return evolve(section, **{name: _with(getattr(section, name), rest, value) if rest else value})


def _described(running: Config, read: Config, waiting: tuple[str, ...]) -> dict[str, Any]:
    """What the configuration says of itself, of the values that are in force."""
    old = {value.key: value for value in running.values}
    variables = {name for key in waiting for name in KEYS[key].env}
    kept = {name: value for name, value in running.environment.items() if name in variables}
    others = {name: value for name, value in read.environment.items() if name not in variables}
    notes = tuple(f"{name} has a new value, which counts after `agentctl daemon restart`" for name in waiting)
    return {
        "settings": {**read.settings, **{name: running.settings[name] for name in waiting}},
        "values": tuple(old[value.key] if value.key in waiting else value for value in read.values),
        "warnings": (*read.warnings, *notes),
        "environment": kept | others,
    }
