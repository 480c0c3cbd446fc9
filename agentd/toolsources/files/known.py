"""What a session has seen of files: only what it knows as it is now may be overwritten.

It is in memory: after a restart nothing is known, and everything must be read again. So a write or edit that is repeated after
a crash changes nothing that it has not looked at.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict

from attrs import frozen

_BOUND = 20_000  # files of all sessions, about 5 MB


@frozen
class Stamp:
    """A file's state as the file system has it; as long as it is the same, so is the file."""

    modified: int
    changed: int
    size: int
    inode: int

    @classmethod
    def of(cls, about: os.stat_result) -> Stamp:
        return cls(about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)


@frozen
class Known:
    """`digest`: of the whole content; None where only a part of a large file was read."""

    stamp: Stamp
    digest: bytes | None

    @classmethod
    def whole(cls, about: os.stat_result, content: bytes) -> Known:
        return cls(Stamp.of(about), hashlib.sha256(content).digest())

    def is_now(self, now: Known) -> bool:
        """Whether the file has the same content as then. One that was only touched has."""
        if self.digest is not None and now.digest is not None:
            return self.digest == now.digest
        return self.stamp == now.stamp


class Memory:
    """The files that sessions know, the least lately used forgotten first."""

    def __init__(self, bound: int = _BOUND) -> None:
        self._bound = bound
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()

    def note(self, session: str, path: str, known: Known) -> None:
        self._known[session, path] = known
        self._known.move_to_end((session, path))
        while len(self._known) > self._bound:
            self._known.popitem(last=False)

    def get(self, session: str, path: str) -> Known | None:
        return self._known.get((session, path))
