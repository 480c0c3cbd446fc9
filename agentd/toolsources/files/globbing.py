"""What `glob` does in its thread: files whose path matches, the newest first."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from agentd.toolsources.files.opening import explained
from agentd.toolsources.files.patterns import Pattern
from agentd.toolsources.files.text import shown
from agentd.toolsources.files.walking import Deadline, TookTooLongError, Walk

SECONDS = 10.0
_MOST = 200  # files


def glob(top: str, pattern: Pattern, prefix: str, hidden: Callable[[str], bool], *, seconds: float = SECONDS) -> str:
    """`prefix`: what stands before each path that is shown. Error handling: ToolError."""
    walk = Walk(top, Deadline(seconds), hidden, pattern.leads_to)
    found: list[tuple[int, str]] = []
    notes = []
    try:
        with explained(top):
            found.extend(_matches(walk, pattern))
    except TookTooLongError:
        notes.append(f"(cut: it took more than {seconds:g} s; look in a smaller directory)")
    newest = heapq.nsmallest(_MOST, found, key=lambda one: (-one[0], one[1]))
    if len(found) > len(newest):
        notes.append(f"(the newest {len(newest)} of {len(found)}; a narrower pattern or path shows others)")
    if not found:
        notes.insert(0, "no file matches; ignored files (.gitignore) are left out")
    return shown("\n".join([*(prefix + path for _, path in newest), *notes]))


def _matches(walk: Walk, pattern: Pattern) -> Iterator[tuple[int, str]]:
    for found in walk.files():
        if pattern.matches(found.path):
            with suppress(OSError):  # it is gone again
                yield os.stat(found.name, dir_fd=found.fd, follow_symlinks=False).st_mtime_ns, found.path
