"""Tools that are Python functions in the user's tools folder, each call in a process of its own (function_worker.py).

No file of the user's is ever imported here: a file that hangs, crashes or prints is a child that hangs, crashes or prints. Its
tools become known by asking such a child to describe them, again whenever the file has changed; nothing watches the folder
between turns.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
import structlog
import trio
from attrs import frozen

from agentd.ports import Place, Process, Profile, Spawner, ToolContext, ToolOutcome, ToolSpec
from agentwire.errors import ToolError
from agentwire.types import Access, CallOutcome, Text

DESCRIBE_BOUND = 20.0  # seconds a file may take to be imported; the turn that found it changed waits for it
DESCRIBE_AT_ONCE = 4  # children
EXIT_BOUND = 0.5  # seconds for exit handlers after the answer, as after any exit (agentd.spawn)
HEADER_BOUND = 65536  # bytes
BODY_BOUND = 32 * 1024 * 1024 + 1  # bytes; the worker cuts below it
FALLBACK_PATH = "/usr/local/bin:/usr/bin:/bin"
WORKER = "agentd.toolsources.function_worker"

log = structlog.get_logger()


class _Stamp(NamedTuple):
    """A file's state: as long as it is the same, so is the file."""

    mtime: int
    size: int
    inode: int


@frozen
class _Description:
    """What a worker says of a file, see `function_worker.describe`."""

    tools: tuple[ToolSpec, ...] = ()
    problems: tuple[tuple[int, str], ...] = ()


@frozen
class _Header:
    outcome: CallOutcome
    bytes: int


@frozen
class _Answer:
    outcome: CallOutcome
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class FunctionTools:
    """The `@tool` functions of `folder/*.py`; files that begin with `_` are helpers of the others.

    Error handling: a file or function that cannot be offered is a warning in the log, once per change; the others work. Of two
    tools with one name the one in the file that sorts first is offered.
    """

    name = "functions"

    def __init__(self, folder: str, spawner: Spawner) -> None:
        self._folder = folder
        self._spawner = spawner
        self._one_refresh = trio.Lock()
        self._at_once = trio.CapacityLimiter(DESCRIBE_AT_ONCE)
        self._stamps: dict[str, _Stamp] = {}
        self._described: dict[str, _Description] = {}
        self._offered: dict[str, tuple[ToolSpec, str]] = {}  # the tool and its file, by the tool's name
        self._specs: tuple[ToolSpec, ...] = ()

    async def run(self, *, task_status: Any) -> None:
        task_status.started()
        await self.refresh()

    async def refresh(self) -> None:
        """One `stat` per file, and a child for each that has changed."""
        if self._now() == self._stamps:
            return
        async with self._one_refresh:
            stamps = self._now()
            changed = [path for path, stamp in stamps.items() if self._stamps.get(path) != stamp]
            if not changed and len(stamps) == len(self._stamps):
                return
            self._described = {path: known for path, known in self._described.items() if path in stamps}
            async with trio.open_nursery() as nursery:
                for path in changed:
                    nursery.start_soon(self._describe, path)
            self._stamps = stamps
            self._offer()

    def _now(self) -> dict[str, _Stamp]:
        try:
            return _stamps(self._folder)
        except OSError as error:  # no descriptor is left, or no memory: what is known is offered, and a call says why not
            log.warning("tools folder cannot be read", folder=self._folder, problem=str(error))
            return self._stamps

    def specs(self) -> Sequence[ToolSpec]:
        return self._specs

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        return ()  # what a function does is its own affair: it is allowed by its name

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        if name not in self._offered:
            raise ToolError(f"there is no tool called {name}")
        path = self._offered[name][1]
        profile = Profile(cwd=context.cwd, environment=_environment(context.environment, AGENTD_CALL_ID=context.call))
        answer = await self._ask(path, {"call": name, "arguments": arguments}, profile)
        return ToolOutcome(outcome=answer.outcome, parts=(Text(text=answer.text),))

    # --- what the files have -------------------------------------------------------------------------------------------------

    async def _describe(self, path: str) -> None:
        async with self._at_once:
            found = await self._description(path)
        for line, problem in found.problems:
            log.warning("tools file has a problem", file=path, line=line, problem=problem)
        self._described[path] = found

    async def _description(self, path: str) -> _Description:
        problem = f"importing it took longer than {DESCRIBE_BOUND:.0f} s"
        with trio.move_on_after(DESCRIBE_BOUND):
            try:
                answer = await self._ask(path, {}, Profile(cwd=self._folder, environment=_environment({})))
                if answer.outcome == "ok":
                    return msgspec.json.decode(answer.body, type=_Description)
                problem = answer.text
            except (ToolError, msgspec.MsgspecError) as error:
                problem = str(error)
        return _Description(problems=((0, problem),))

    def _offer(self) -> None:
        offered: dict[str, tuple[ToolSpec, str]] = {}
        for path in sorted(self._described):
            for spec in self._described[path].tools:
                if spec.name in offered:
                    log.warning("two tools have one name", tool=spec.name, offered=offered[spec.name][1], refused=path)
                else:
                    offered[spec.name] = (spec, path)
        self._offered = offered
        self._specs = tuple(spec for spec, _ in offered.values())

    # --- one child -----------------------------------------------------------------------------------------------------------

    async def _ask(self, path: str, request: Mapping[str, Any], profile: Profile) -> _Answer:
        """One conversation with a worker. Nothing of the file runs before the worker stood in its own, killable group."""
        async with self._spawner.start([*_worker(), path], profile) as child:
            answers = _Reader(child)
            if await answers.line() != b"r":
                return await _death(child, "before it began")
            await child.send(b"go " + msgspec.json.encode(request) + b"\n")
            answer = await _answer(answers)
            if answer is None:
                return await _death(child, "before it gave a result")
            with trio.move_on_after(EXIT_BOUND):  # its open files are flushed as it exits
                await child.wait()
            return answer


async def _answer(answers: _Reader) -> _Answer | None:
    line = await answers.line()
    if line is None:
        return None
    try:
        header = msgspec.json.decode(line, type=_Header)
    except msgspec.MsgspecError:
        return _Answer("error", b"the tool's process answered in a way that cannot be understood")
    body = await answers.exactly(min(header.bytes, BODY_BOUND))
    return None if body is None else _Answer(header.outcome, body)


async def _death(child: Process, when: str) -> _Answer:
    with trio.move_on_after(EXIT_BOUND):
        await child.wait()
    await child.kill()  # one that has fallen silent but lives
    code = await child.wait()
    how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code} ({signal.strsignal(-code)})"
    said = child.stderr_tail().strip()
    return _Answer("error", f"the tool's process {how} {when}{':' if said else ''}\n{said}".strip().encode())


class _Reader:
    """Lines and counted bytes from a child's stdout; None where it ends too early."""

    def __init__(self, child: Process) -> None:
        self._child = child
        self._buffer = bytearray()

    async def line(self) -> bytes | None:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > HEADER_BOUND or not await self._more():
                return None
        return self._take(end + 1)[:-1]

    async def exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not await self._more():
                return None
        return self._take(size)

    async def _more(self) -> bool:
        data = await self._child.receive()
        self._buffer += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _stamps(folder: str) -> dict[str, _Stamp]:
    """The tools files as they are now. A folder that does not exist has none."""
    stamps: dict[str, _Stamp] = {}
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py") and entry.name[0] not in "_." and entry.is_file():
                stat = os.stat(entry.path)
                stamps[entry.path] = _Stamp(stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return stamps


def _worker() -> list[str]:
    """How this program starts a worker. -P: a module in the session's directory must not stand in for a real one."""
    return [sys.executable, "_function"] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", WORKER]


def _environment(session: Mapping[str, str], **own: str) -> dict[str, str]:
    """Built, never ours: the daemon's keys are not in it."""
    return {"HOME": os.path.expanduser("~"), "PATH": FALLBACK_PATH, "LANG": "C.UTF-8", **session, **own}
