"""The tool source of the file tools. They run in the daemon; what touches a file does so in worker threads, a few at once.
Only ripgrep, where there is one, is a process.

`write` and `edit` count as idempotent: repeated after a restart they find the content already there, or a file that is not known
and must be read again. So no change is made twice, and a turn that was cut off goes on by itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import trio
from attrs import evolve

from agentd.ports import FixedTools, Place, Spawner, ToolContext, ToolOutcome
from agentd.toolsources.arguments import structured
from agentd.toolsources.environment import built
from agentd.toolsources.files import changing
from agentd.toolsources.files.arguments import Edit, Glob, Grep, Read, Write
from agentd.toolsources.files.globbing import glob
from agentd.toolsources.files.known import Memory
from agentd.toolsources.files.matches import Report
from agentd.toolsources.files.opening import resolve
from agentd.toolsources.files.patterns import compile_pattern, split_absolute
from agentd.toolsources.files.reading import meant, read
from agentd.toolsources.files.ripgrep import Ripgrep, UnsupportedError
from agentd.toolsources.files.searching import SECONDS, Search
from agentd.toolsources.files.specs import ALL
from agentd.toolsources.files.walking import Deadline
from agentwire.errors import ToolError
from agentwire.types import Access, AccessKind, Image, ResultPart, Text

_AT_ONCE = 8  # threads; a file system that hangs takes one for each call that was cancelled on it

T = TypeVar("T")

_LINE_END = re.compile(r"\n|(?<!\\)(?:\\\\)*\\n")

_ARGUMENTS: dict[str, Any] = {"read": Read, "write": Write, "edit": Edit, "glob": Glob, "grep": Grep}

Call = Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolOutcome]]


class FileTools(FixedTools):
    """read, write, edit, glob, grep. `umask`: the user's, for files and directories that are made; `ripgrep`: the program.

    Resource handling: a cancelled call that reads leaves its thread alone, which ends at its next piece; one that writes waits
    until the change is made or dropped.
    """

    name = "files"
    offered = ALL

    def __init__(self, spawner: Spawner, *, umask: int, ripgrep: str | None = None) -> None:
        self._spawner, self._umask, self._ripgrep = spawner, umask, ripgrep
        self._memory = Memory()
        self._threads = trio.CapacityLimiter(_AT_ONCE)
        self._changing: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()
        self._calls: dict[str, Call] = {
            "read": self._read,
            "write": self._write,
            "edit": self._edit,
            "glob": self._glob,
            "grep": self._grep,
        }

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        """One path, links resolved. An edit only writes: what it shows has been read before."""
        if name not in _ARGUMENTS:
            raise ToolError(f"there is no tool called {name}")
        wanted = structured(arguments, _ARGUMENTS[name])
        path = split_absolute(wanted.pattern, wanted.path)[1] if isinstance(wanted, Glob) else wanted.path
        kind: AccessKind = "write" if isinstance(wanted, Write | Edit) else "read"
        return (Access(kind=kind, target=resolve(path, place.cwd)),)

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        if name not in self._calls:
            raise ToolError(f"there is no tool called {name}")
        return await self._calls[name](arguments, context)

    async def _read(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        wanted, path = structured(arguments, Read), _planned("read", context)
        try:
            seen = await self._looked(read, path, wanted.offset, wanted.limit)
        except ToolError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise ToolError(f"{error}{await self._looked(meant, path, context.roots, context.hidden)}") from None
        if seen.known is not None:
            self._memory.note(_who(context), path, seen.known)
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
            known = self._memory.get(_who(context), path)
            work = partial(change, path, known=known, umask=self._umask)
            done = await trio.to_thread.run_sync(work, limiter=self._threads)
            self._memory.note(_who(context), path, done.known)
        return ToolOutcome(outcome="ok", parts=(Text(text=done.text),))

    async def _glob(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        wanted, top = structured(arguments, Glob), _planned("read", context)
        pattern = compile_pattern(split_absolute(wanted.pattern, wanted.path)[0])
        text = await self._looked(glob, top, pattern, _prefix(top, context), context.hidden)
        return ToolOutcome(outcome="ok", parts=(Text(text=text),))

    async def _grep(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        wanted, path = structured(arguments, Grep), _planned("read", context)
        if _LINE_END.search(wanted.pattern):
            raise ToolError("pattern matches within a line: search for one line of it, and read the file there")
        top, name = await self._looked(_split, path)
        if name:  # that file is wanted, whatever it is called
            wanted = evolve(wanted, glob="")
        report = Report(wanted, _prefix(top, context))
        search = Search(wanted, _nothing if name else context.hidden, compile_pattern(wanted.glob) if wanted.glob else None)
        try:
            if self._ripgrep is None:
                raise UnsupportedError
            environment = built(context.environment, context.call)
            await Ripgrep(self._ripgrep, self._spawner, environment, context.sandbox).run(search, top, name, report)
        except UnsupportedError:
            await self._looked(search.run, path, report, Deadline(SECONDS))
        return ToolOutcome(outcome="ok", parts=(Text(text=report.text),))

    async def _looked(self, function: Callable[..., T], *arguments: object) -> T:
        """In a thread that is left alone when the call is cancelled."""
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._threads, abandon_on_cancel=True)


def _prefix(top: str, context: ToolContext) -> str:
    """What stands before the paths of what is found below `top`, so that they can be given to the next call."""
    here = context.roots[0] if context.roots else os.path.realpath(context.cwd)
    if top == here:
        return ""
    return top[len(here) + 1 :] + "/" if top.startswith(f"{here}/") else top.rstrip("/") + "/"


def _who(context: ToolContext) -> str:
    """Whose knowledge of files counts: the session's, or without one that of the user who calls."""
    return context.session or f"user:{context.user}"


def _nothing(_path: str) -> bool:
    return False


def _split(path: str) -> tuple[str, str]:
    """The directory to search, and the file in it if it is only that."""
    return (path, "") if os.path.isdir(path) else os.path.split(path)


def _planned(kind: AccessKind, context: ToolContext) -> str:
    """The path that was judged."""
    targets = [access.target for access in context.accesses if access.kind == kind]
    if not targets:
        raise ToolError("the call was not planned: no path was judged for it")
    return targets[0]
