"""The tool source of the file tools. They run in the daemon; what touches a file does so in worker threads, a few at once.

`write` and `edit` count as idempotent: repeated after a restart they find the content already there, or a file that is not known
and must be read again. So no change is made twice, and a turn that was cut off goes on by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import trio

from agentd.ports import Place, ToolContext, ToolOutcome
from agentd.toolsources.arguments import structured
from agentd.toolsources.files import changing, specs
from agentd.toolsources.files.arguments import Edit, Read, Write
from agentd.toolsources.files.known import Memory
from agentd.toolsources.files.opening import resolve
from agentd.toolsources.files.reading import read
from agentwire.errors import ToolError
from agentwire.types import Access, AccessKind, Image, ResultPart, Text

_AT_ONCE = 8  # threads; a file system that hangs takes one for each call that was cancelled on it

Call = Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolOutcome]]


class FileTools:
    """read, write, edit. `umask`: the user's, for files and directories that are made.

    Resource handling: a cancelled call that reads leaves its thread alone, which ends at its next piece; one that writes waits
    until the change is made or dropped.
    """

    name = "files"

    def __init__(self, *, umask: int) -> None:
        self._umask = umask
        self._memory = Memory()
        self._threads = trio.CapacityLimiter(_AT_ONCE)
        self._changing: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()
        self._specs = (specs.READ, specs.WRITE, specs.EDIT)
        self._kinds: dict[str, tuple[Any, AccessKind]] = {
            "read": (Read, "read"),
            "write": (Write, "write"),
            "edit": (Edit, "write"),
        }
        self._calls: dict[str, Call] = {"read": self._read, "write": self._write, "edit": self._edit}

    async def run(self, *, task_status: Any) -> None:
        task_status.started()

    async def refresh(self) -> None:
        """They never change."""

    def specs(self) -> Sequence[Any]:
        return self._specs

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        """One path, links resolved. An edit only writes: what it shows has been read before."""
        if name not in self._kinds:
            raise ToolError(f"there is no tool called {name}")
        kind, access = self._kinds[name]
        return (Access(kind=access, target=resolve(structured(arguments, kind).path, place.cwd)),)

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        if name not in self._calls:
            raise ToolError(f"there is no tool called {name}")
        return await self._calls[name](arguments, context)

    async def _read(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        wanted, path = structured(arguments, Read), _planned("read", context)
        seen = await trio.to_thread.run_sync(read, path, wanted.offset, wanted.limit, limiter=self._threads, abandon_on_cancel=True)
        if seen.known is not None:
            self._memory.note(context.session, path, seen.known)
        parts: list[ResultPart] = [Text(text=seen.text)]
        if seen.media and context.blob is not None:
            kept = await context.blob(seen.picture, seen.media)
            parts.append(Image(blob=kept.blob, bytes=kept.bytes, media=kept.media))
        return ToolOutcome(outcome="ok", parts=tuple(parts))

    async def _write(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return await self._change(partial(changing.write, wanted=structured(arguments, Write)), context)

    async def _edit(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return await self._change(partial(changing.edit, wanted=structured(arguments, Edit)), context)

    async def _change(self, change: Callable[..., changing.Done], context: ToolContext) -> ToolOutcome:
        """One after the other for each file: parallel edits of one file must not undo each other."""
        path = _planned("write", context)
        lock = self._changing.setdefault(path, trio.Lock())
        async with lock:
            known = self._memory.get(context.session, path)
            work = partial(change, path, known=known, umask=self._umask)
            done = await trio.to_thread.run_sync(work, limiter=self._threads)
            self._memory.note(context.session, path, done.known)
        return ToolOutcome(outcome="ok", parts=(Text(text=done.text),))


def _planned(kind: AccessKind, context: ToolContext) -> str:
    """The path that was judged."""
    targets = [access.target for access in context.accesses if access.kind == kind]
    if not targets:
        raise ToolError("the call was not planned: no path was judged for it")
    return targets[0]
