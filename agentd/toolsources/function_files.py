"""Where functions are that are tools, and whether that has changed: files of the tools folder, and modules by dotted path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple


class Source(NamedTuple):
    """A Python file; `module`: its dotted path, if it is to be imported by that. `path` is "" for a module that is not found."""

    module: str
    path: str

    def __str__(self) -> str:
        return self.path or self.module

    @property
    def root(self) -> str:
        """The directory from which the module is imported."""
        folder = os.path.dirname(self.path)
        inner = os.path.basename(self.path) == "__init__.py"
        for _ in range(self.module.count(".") + inner):
            folder = os.path.dirname(folder)
        return folder


class Stamp(NamedTuple):
    """A file's state: as long as it is the same, so is the file."""

    mtime: int = 0
    size: int = 0
    inode: int = 0


def in_folder(folder: str) -> dict[Source, Stamp]:
    """The tools files as they are now. A folder that does not exist has none."""
    stamps: dict[Source, Stamp] = {}
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py") and entry.name[0] not in "_." and entry.is_file():
                stamps[Source("", entry.path)] = stamp(entry.path)
    return stamps


def of_modules(names: Iterable[str]) -> dict[Source, Stamp]:
    """The modules as they are now; one that cannot be found is there, too, so that it is said."""
    stamps: dict[Source, Stamp] = {}
    for name in names:
        source = Source(name, located(name))
        with suppress(FileNotFoundError):
            stamps[source] = stamp(source.path) if source.path else Stamp()
    return stamps


def stamp(path: str) -> Stamp:
    """Error handling: OSError."""
    stat = os.stat(path)
    return Stamp(stat.st_mtime_ns, stat.st_size, stat.st_ino)


def located(module: str) -> str:
    """The file of a module, "" if there is none. Nothing of it is imported, which `importlib.util.find_spec` would do with what
    it lies in."""
    origin, path, full = None, None, ""
    for part in module.split("."):
        full = f"{full}.{part}" if full else part
        found = (finder.find_spec(full, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((each for each in found if each is not None), None)
        if spec is None:
            return ""
        origin, path = spec.origin, spec.submodule_search_locations
    return origin if origin is not None and os.path.isfile(origin) else ""


def python_path() -> tuple[str, ...]:
    """The directories, links resolved, that a worker imports from: ours. Never one that holds the home directory."""
    home = os.path.realpath(os.path.expanduser("~"))
    own = [os.path.dirname(sys.executable)] if getattr(sys, "frozen", False) else []
    real = (os.path.realpath(path) for path in (*own, *sys.path) if path and os.path.exists(path))
    return tuple(path for path in dict.fromkeys(real) if not f"{home}/".startswith(f"{path.rstrip('/')}/"))
