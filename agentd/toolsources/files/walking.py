"""Looking through a directory: every file below it that is not ignored or hidden, in the order of names; no link is followed.

It goes from descriptor to descriptor, so that a directory which is swapped for a link meanwhile leads nowhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import trio
from attrs import field, frozen

from agentd.toolsources.files.ignoring import VCS, Ignored, above
from agentd.toolsources.files.openat2 import open_as_it_stands
from agentd.toolsources.files.opening import opened

_DEEPEST = 100  # directories, each of which holds a descriptor


class TookTooLongError(Exception):
    pass


@frozen
class Deadline:
    """Looked at between small pieces of work in a thread."""

    seconds: float
    _at: float = field(init=False)

    @_at.default
    def _begin(self) -> float:
        return time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Raises TookTooLongError, and Cancelled if nobody waits for the thread any more."""
        trio.from_thread.check_cancelled()
        left = self._at - time.monotonic()
        if left <= 0:
            raise TookTooLongError
        return left


class Found(NamedTuple):
    """A file (or a link to one): its path relative to where the walk began; its name in the open directory `fd`, for now."""

    path: str
    fd: int
    name: str
    is_link: bool


@frozen
class Walk:
    """`top`: a real path. `hidden(absolute path)`: what is passed over; `leads(relative path)`: which directories are worth it."""

    top: str
    deadline: Deadline
    hidden: Callable[[str], bool]
    leads: Callable[[str], bool] = lambda _directory: True

    def files(self) -> Iterator[Found]:
        """Error handling: OSError and ToolError if `top` cannot be opened; what cannot be below it is passed over."""
        with opened(self.top) as (fd, _about):
            yield from self._directory(fd, "", above(self.top), 0)

    def _directory(self, fd: int, path: str, ignored: Ignored, depth: int) -> Iterator[Found]:
        absolute = f"{self.top.rstrip('/')}/{path}"
        ignored = ignored.inside(absolute, fd)
        for entry in self._entries(fd):
            below = path + entry.name
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEPEST and self.leads(below) and not self._passed(f"{absolute}{entry.name}", "/", ignored):
                    yield from self._below(fd, entry.name, f"{below}/", ignored, depth)
            elif (entry.is_file(follow_symlinks=False) or entry.is_symlink()) and not self._passed(
                f"{absolute}{entry.name}", "", ignored
            ):
                yield Found(below, fd, entry.name, entry.is_symlink())

    def _below(self, fd: int, name: str, path: str, ignored: Ignored, depth: int) -> Iterator[Found]:
        try:
            inner = open_as_it_stands(name, os.O_RDONLY | os.O_DIRECTORY, directory=fd)
        except OSError:
            return
        try:
            yield from self._directory(inner, path, ignored, depth + 1)
        finally:
            os.close(inner)

    def _entries(self, fd: int) -> list[os.DirEntry[str]]:
        _ = self.deadline.left
        with os.scandir(fd) as entries:
            return sorted((entry for entry in entries if entry.name not in VCS), key=lambda entry: os.fsencode(entry.name))

    def _passed(self, path: str, slash: str, ignored: Ignored) -> bool:
        return ignored(path + slash) or self.hidden(path)
