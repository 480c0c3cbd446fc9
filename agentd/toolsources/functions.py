"""Tools that are Python functions in the user's tools folder, or in modules that the configuration names; each call runs in a
process of its own (function_worker.py), inside of the walls that the call has.

No file of the user's is ever imported here: a file that hangs, crashes or prints is a child that hangs, crashes or prints. Its
tools become known by asking such a child to describe them, again whenever the file has changed; nothing watches the folder
between turns.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
import trio
from attrs import evolve, frozen

from agentd.ports import Place, Process, Profile, Sandbox, Spawner, ToolContext, ToolOutcome, ToolSpec
from agentd.toolsources.function_files import Source, Stamp, in_folder, of_modules, python_path
from agentwire.errors import SandboxUnavailable, ToolError
from agentwire.types import Access, CallOutcome, Text

DESCRIBE_BOUND = 20.0  # seconds a file may take to be imported; the turn that found it changed waits for it
DESCRIBE_AT_ONCE = 4  # children
EXIT_BOUND = 0.5  # seconds for exit handlers after the answer, as after any exit (agentd.spawn)
HEADER_BOUND = 65536  # bytes
BODY_BOUND = 32 * 1024 * 1024 + 1  # bytes; the worker cuts below it
FALLBACK_PATH = "/usr/local/bin:/usr/bin:/bin"
WORKER = "agentd.toolsources.function_worker"

log = structlog.get_logger()


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
    """The `@tool` functions of `folder/*.py`, but for files that begin with `_`, which are helpers of the others; then those of
    `modules`, dotted paths as configured at the moment. `walled`: whether a file is described inside of walls, read-only.

    Error handling: a file or function that cannot be offered is a warning in the log, once per change; the others work. Of two
    tools with one name the one in the file that sorts first is offered.
    """

    name = "functions"

    def __init__(
        self,
        folder: str,
        spawner: Spawner,
        modules: Callable[[], Sequence[str]] = tuple,
        *,
        walled: bool = False,
    ) -> None:
        self._folder, self._modules = folder, modules
        self._spawner, self._walled = spawner, walled
        self._walls_missing = False
        self._one_refresh = trio.Lock()
        self._at_once = trio.CapacityLimiter(DESCRIBE_AT_ONCE)
        self._stamps: dict[Source, Stamp] = {}
        self._described: dict[Source, _Description] = {}
        self._offered: dict[str, tuple[ToolSpec, Source]] = {}  # the tool and its file, by the tool's name
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
            changed = [source for source, stamp in stamps.items() if self._stamps.get(source) != stamp]
            if not changed and len(stamps) == len(self._stamps):
                return
            self._described = {source: known for source, known in self._described.items() if source in stamps}
            async with trio.open_nursery() as nursery:
                for source in changed:
                    nursery.start_soon(self._describe, source)
            self._stamps = {source: stamp for source, stamp in stamps.items() if source in self._described}
            self._offer()

    def _now(self) -> dict[Source, Stamp]:
        try:
            return {**in_folder(self._folder), **of_modules(self._modules())}
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
        source = self._offered[name][1]
        profile = Profile(
            cwd=context.cwd,
            environment=_environment(context.environment, AGENTD_CALL_ID=context.call),
            sandbox=context.sandbox,
        )
        answer = await self._ask(source, {"call": name, "arguments": arguments}, profile)
        return ToolOutcome(outcome=answer.outcome, parts=(Text(text=answer.text),))

    # --- what the files have -------------------------------------------------------------------------------------------------

    async def _describe(self, source: Source) -> None:
        """One that nothing could be started for is left undescribed, to be tried again."""
        try:
            async with self._at_once:
                found = await self._description(source)
        except SandboxUnavailable as error:
            if not self._walls_missing:
                log.warning("functions_not_offered", reason=str(error))
            self._walls_missing = True
            return
        for line, problem in found.problems:
            log.warning("tools file has a problem", file=str(source), line=line, problem=problem)
        self._described[source], self._walls_missing = found, False

    async def _description(self, source: Source) -> _Description:
        problem = f"importing it took longer than {DESCRIBE_BOUND:.0f} s"
        profile = Profile(
            cwd=os.path.dirname(source.path) or "/",
            environment=_environment({}),
            sandbox=Sandbox() if self._walled else None,
        )
        with trio.move_on_after(DESCRIBE_BOUND):
            try:
                answer = await self._ask(source, {}, profile)
                if answer.outcome == "ok":
                    return msgspec.json.decode(answer.body, type=_Description)
                problem = answer.text
            except SandboxUnavailable:
                raise
            except (ToolError, msgspec.MsgspecError) as error:
                problem = str(error)
        return _Description(problems=((0, problem),))

    def _offer(self) -> None:
        offered: dict[str, tuple[ToolSpec, Source]] = {}
        for source in sorted(self._described):
            for spec in self._described[source].tools:
                if spec.name in offered:
                    known = str(offered[spec.name][1])
                    log.warning("two tools have one name", tool=spec.name, offered=known, refused=str(source))
                else:
                    offered[spec.name] = (spec, source)
        self._offered = offered
        self._specs = tuple(spec for spec, _ in offered.values())

    # --- one child -----------------------------------------------------------------------------------------------------------

    async def _ask(self, source: Source, request: Mapping[str, Any], profile: Profile) -> _Answer:
        """One conversation with a worker. Nothing of the file runs before the worker stood in its own, killable group."""
        async with self._spawner.start(*_worker(source, profile)) as child:
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
    number = -code if code < 0 else code - 128  # as a shell and bubblewrap say it
    killed = f"was killed by signal {number} ({signal.strsignal(number)})" if number in set(signal.Signals) else ""
    how = killed or f"ended with exit code {code}"
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


def _worker(source: Source, profile: Profile) -> tuple[list[str], Profile]:
    """How this program starts a worker. -P: a module in the session's directory must not stand in for a real one. Inside of
    walls it sees Python, and its own file with what lies beside it, but cannot change them."""
    program = [sys.executable, "_function"] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", WORKER]
    folder, name = os.path.split(source.path)
    path = os.path.join(os.path.realpath(folder), name) if source.path else ""
    argv = [*program, path, *filter(None, [source.module])]
    if profile.sandbox is None:
        return argv, profile
    shown = (os.path.dirname(path), os.path.realpath(path)) if path else ()
    walls = profile.sandbox
    root = (os.path.realpath(source.root),) if source.module and path else ()
    walls = evolve(walls, read=(*walls.read, *python_path(), *root), show=(*walls.show, *shown))
    return argv, evolve(profile, sandbox=walls)


def _environment(session: Mapping[str, str], **own: str) -> dict[str, str]:
    """Built, never ours: the daemon's keys are not in it."""
    return {"HOME": os.path.expanduser("~"), "PATH": FALLBACK_PATH, "LANG": "C.UTF-8", **session, **own}
