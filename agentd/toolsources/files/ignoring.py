"""What git would ignore: the `.gitignore` of each directory, those above up to the repository's root, and `.git/info/exclude`.

The deepest file that speaks of a path decides, in it the last line that does. Matching is pathspec's.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from agentd.toolsources.files.openat2 import AT_FDCWD
from agentd.toolsources.files.opening import opened_in

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

VCS = frozenset({".git", ".hg", ".svn", ".bzr", ".jj"})
"""Never looked into."""
_BOUND = 1024 * 1024  # bytes of such a file


@frozen
class _Rules:
    """`base`: how many characters of a path are of the directory that the file is in."""

    base: int
    spec: GitIgnoreSpec


@frozen
class Ignored:
    """The rules for the entries of one directory. Paths are absolute; those of directories end with a slash."""

    rules: tuple[_Rules, ...] = ()

    def __call__(self, path: str) -> bool:
        for one in reversed(self.rules):
            include = one.spec.check_file(path[one.base :]).include
            if include is not None:
                return bool(include)
        return False

    def inside(self, directory: str, fd: int) -> Ignored:
        """With what the directory itself says. Whoever has no such file pays one failed open."""
        spec = _file(".gitignore", fd)
        return self if spec is None else Ignored((*self.rules, _Rules(len(directory.rstrip("/")) + 1, spec)))


def above(directory: str) -> Ignored:
    """The rules for `directory` of those above it; none that would ignore it itself: somebody wants to look there."""
    root = _repository(directory)
    if root is None:
        return Ignored()
    exclude = _file(f"{root}/.git/info/exclude")
    rules = [] if exclude is None else [_Rules(len(root) + 1, exclude)]
    names = [name for name in directory[len(root) :].split("/") if name]
    for depth in range(len(names)):
        holder = "/".join([root, *names[:depth]])
        if (spec := _file(f"{holder}/.gitignore")) is not None:
            rules.append(_Rules(len(holder) + 1, spec))
    return Ignored(tuple(one for one in rules if not one.spec.match_file(f"{directory}/"[one.base :])))


def _repository(directory: str) -> str | None:
    while directory not in ("", "/"):
        if os.path.lexists(f"{directory}/.git"):
            return directory
        directory = os.path.dirname(directory)
    return None


def _file(path: str, directory: int = AT_FDCWD) -> GitIgnoreSpec | None:
    with suppress(OSError), opened_in(directory, path) as (fd, _about):
        return _parsed(os.read(fd, _BOUND))
    return None


@lru_cache(maxsize=256)
def _parsed(content: bytes) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    lines = content.decode("utf-8", "replace").splitlines()
    return GitIgnoreSpec.from_lines(filter(_sound, lines), backend="simple")


def _sound(line: str) -> bool:
    """git passes over a line that it cannot read; pathspec gives up the whole file."""
    from pathspec import GitIgnoreSpec

    with suppress(ValueError):
        GitIgnoreSpec.from_lines([line], backend="simple")
        return True
    return False
