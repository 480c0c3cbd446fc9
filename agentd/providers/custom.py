"""A provider of the user's own: a Python class, found by its dotted path or in a file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import Final, Protocol

from agentd.ports import Provider
from agentwire.config import ProviderConfig, Timeouts
from agentwire.errors import ConfigError

_METHODS: Final = ("limits", "stream", "models", "prewarm", "status", "run", "aclose", "reconfigure")
_AWAITED: Final = ("models", "prewarm", "run", "aclose")


class Custom(Provider, Protocol):
    """A provider as the daemon wants it: it also learns of new time limits."""

    def reconfigure(self, timeouts: Timeouts) -> None: ...


def load(name: str, config: ProviderConfig, timeouts: Timeouts) -> Custom:
    """The provider `name`, made by calling the class at `config.path` with (config, timeouts).

    `package.module:Class` is imported as any program of this environment would; `/path/to/file.py:Class` is the file itself. To be
    called in a worker thread: what it imports may take long.

    Error handling: ConfigError that names the key and says what is missing, for a class that is not there, cannot be made, or is no
    provider of that name.
    """
    where, _, wanted = config.path.rpartition(":")
    try:
        module = _file(name, where) if where.startswith(("/", "~")) else importlib.import_module(where)
        made = getattr(module, wanted)(config, timeouts)
    except Exception as error:  # somebody else's code: whatever it raises is told
        told = f"no class {wanted} there" if isinstance(error, AttributeError) and error.name == wanted else _told(error)
        raise _refused(name, config.path, told) from error
    if missing := _missing(made):
        raise _refused(name, config.path, f"it is no provider: {missing}")
    if made.name != name:
        raise _refused(name, config.path, f"it calls itself {made.name!r}, and is configured as {name!r}")
    provider: Custom = made
    return provider


def _file(name: str, path: str) -> ModuleType:
    """The module of one file, under a name that nothing else has."""
    called = f"agentd_provider_{name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(called, os.path.expanduser(path))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = sys.modules[called] = importlib.util.module_from_spec(spec)  # where dataclasses and pickles look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[called]
        raise
    return module


def _missing(made: object) -> str:
    """What a provider has and this has not; empty if nothing."""
    if not isinstance(getattr(made, "name", None), str):
        return "it has no `name`"
    keys = getattr(made, "keys", None)
    if not isinstance(keys, int) or keys < 1:
        return "its `keys` is not the number of its API keys, at least 1"
    if absent := [method for method in _METHODS if not callable(getattr(made, method, None))]:
        return f"it has no method {', '.join(absent)}"
    if plain := [method for method in _AWAITED if not inspect.iscoroutinefunction(getattr(made, method))]:
        return f"{', '.join(plain)} must be `async def`"
    return ""


def _told(error: Exception) -> str:
    said = str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _refused(name: str, path: str, why: str) -> ConfigError:
    key = f"providers.{name}.path"
    return ConfigError(f"{key}: {path}: {why}. docs/models.md says what such a class must have.", key=key)
