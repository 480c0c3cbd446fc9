"""Paths in the workspace that a walled-in child must not change (`.git/hooks`, `.agentd`), made ready for walls.

Only what exists can be mounted read-only. What does not exist yet is made, as an empty directory, for as long as somebody inside
could make it, and removed again. But `git clone URL .` wants an empty directory, and `git init` no `.git`: in such places nothing
is made, and what has come to be there is put aside once all inside are dead. Samples that git itself leaves are no hooks.

A mount follows the links that are on its way at that moment. So nothing is mounted at a path that somebody inside of other walls
can replace just then, by a link to the user's keys: only what all who live have mounted alike.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from itertools import count

import structlog

log = structlog.get_logger()


class Keeping:
    """Of all children of one daemon; what one of them needs another one must not remove."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()
        self._alike: Counter[tuple[str, tuple[str, ...]]] = Counter()  # a path, and what is mounted for it, of all who live

    def ready(self, paths: Iterable[str], writable: Sequence[str], over: ExitStack) -> tuple[str, ...]:
        """What is to be mounted for `paths`, those within `writable`. When `over` ends, nothing of ours is left behind."""
        kept: list[str] = []
        for path in paths:
            root = next((each for each in sorted(writable) if path.startswith(f"{each.rstrip('/')}/")), None)
            if root is not None:
                kept += self._agreed(path, root, writable, over)
        return tuple(kept)

    def _agreed(self, path: str, root: str, writable: Sequence[str], over: ExitStack) -> tuple[str, ...]:
        others = {mounted for known, mounted in self._alike if known == path}
        mounted = () if () in others else tuple(self._wanted(path, root, writable, over))
        if others - {mounted}:
            mounted = ()
        if others and not mounted:
            over.callback(put_aside, path)
        self._alike[path, mounted] += 1
        over.callback(self._forget, path, mounted)
        return mounted

    def _forget(self, path: str, mounted: tuple[str, ...]) -> None:
        self._alike[path, mounted] -= 1
        if not self._alike[path, mounted]:
            del self._alike[path, mounted]

    def _wanted(self, path: str, root: str, writable: Sequence[str], over: ExitStack) -> list[str]:
        parent = os.path.dirname(path)
        real = os.path.realpath(path)
        if real != path:  # there is a link on the way: what it leads to counts, if it can be written at all
            return [real] if os.path.exists(real) and any(real.startswith(f"{each.rstrip('/')}/") for each in writable) else []
        if os.path.isfile(parent):  # `.git` of a worktree is a file: nothing can be in it as long as it is there
            return [parent]
        if os.path.exists(path):
            if path in self._made:
                self._hold(path, over)
            return [path]
        try:
            if os.path.isdir(parent) and not _is_empty(root):
                os.mkdir(path)
                self._hold(path, over)
                return [path]
        except OSError as error:  # no right to write there, then nobody inside has one
            log.debug("nothing_kept", path=path, reason=str(error))
        over.callback(put_aside, path)
        return []

    def _hold(self, path: str, over: ExitStack) -> None:
        self._made[path] += 1
        over.callback(self._release, path)

    def _release(self, path: str) -> None:
        self._made[path] -= 1
        if not self._made[path]:
            del self._made[path]
            with suppress(OSError):  # somebody outside has put something there: it is theirs
                os.rmdir(path)


def _is_empty(directory: str) -> bool:
    with os.scandir(directory) as entries:
        return next(entries, None) is None


def put_aside(path: str) -> None:
    """What has come to be at `path` gets a name under which nobody looks for it; or the link by which it would be found."""
    if os.path.islink(os.path.dirname(path)):
        path = os.path.dirname(path)
    if not os.path.lexists(path) or _only_samples(path):
        return
    names = (f"{path}.{number}.put-aside" for number in count(1))
    name = next(name for name in names if not os.path.lexists(name))
    with suppress(OSError):
        os.rename(path, name)
        log.warning("put_aside", path=path, to=name)


def _only_samples(path: str) -> bool:
    try:
        return not os.path.islink(path) and all(name.endswith(".sample") for name in os.listdir(path))
    except OSError:  # a file
        return False
