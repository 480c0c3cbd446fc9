"""Child processes under trio: Popen in the trio thread, exit by pidfd, bounded pipes, the whole group killed at the end.

Not `trio.run_process`: it forks from a cached worker thread, and a child that asks to die with its parent (PR_SET_PDEATHSIG,
`bwrap --die-with-parent`) dies when that idle thread is dropped, 10 s later. Popen takes about 7 ms of the loop.

The child leads a session and thereby a process group of its own. Until the child is reaped its pid, which is also the group's
number, cannot be given to anybody else: so its exit is read with WNOWAIT, the group is killed, and only then is it reaped. A
descendant that calls setsid leaves the group and survives, unless there are walls: then the first process of its pid namespace
is in our group, and the kernel lets nobody outlive it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from io import FileIO
from typing import Protocol, cast

import trio
from attrs import frozen

from agentd.ports import Process, Profile
from agentwire.errors import SandboxUnavailable, ToolError

STDERR_RING = 65536  # bytes kept of what a child said on stderr
OUTPUT_GRACE = 0.5  # seconds that output may still arrive after the exit: a background child may hold the pipe for ever
KILL_BOUND = 5.0  # seconds to wait for a killed child: only one stuck in the kernel (D state) needs more, and we do not wait for it


@frozen(kw_only=True)
class Enclosed:
    """A command as it is started. `fds`: what it inherits. `walled`: its first child is the first process inside of walls."""

    argv: Sequence[str]
    fds: tuple[int, ...] = ()
    walled: bool = False


class Walls(Protocol):
    """Who builds the walls."""

    async def enclose(self, argv: Sequence[str], profile: Profile, started: ExitStack, over: ExitStack) -> Enclosed:
        """`started` is closed once the child has started or could not, `over` when nothing of it lives any more.

        Error handling: SandboxUnavailable, ToolError.
        """


class NoWalls:
    """There is nobody to build any: what needs none is started, nothing else."""

    async def enclose(self, argv: Sequence[str], profile: Profile, started: ExitStack, over: ExitStack) -> Enclosed:
        if profile.sandbox is not None:
            raise SandboxUnavailable(f"{argv[0]} is to run in a sandbox, and there is none here; nothing was started")
        return Enclosed(argv=gate(argv, profile))


class TrioSpawner:
    """The real `ports.Spawner`. `umask` is the children's; by default they have ours, which is narrow: a daemon's, not a user's."""

    def __init__(self, *, umask: int = -1, walls: Walls | None = None) -> None:
        self._umask, self._walls = umask, walls or NoWalls()

    def start(self, argv: Sequence[str], profile: Profile) -> AbstractAsyncContextManager[Process]:
        """Start `argv`; its program is looked up on the profile's PATH.

        Resource handling: leaving the scope, also by cancellation, kills the group, reaps the child and closes every fd.
        Error handling: entering raises ToolError naming the program or directory that is missing or may not be used.
        """
        return _scope(argv, profile, self._umask, self._walls)


@asynccontextmanager
async def _scope(argv: Sequence[str], profile: Profile, umask: int, walls: Walls) -> AsyncIterator[Process]:
    with ExitStack() as over:
        with ExitStack() as started:
            try:
                enclosed = await walls.enclose(argv, profile, started, over)
            except OSError as error:  # no descriptor is left, or no memory
                raise ToolError(_explain(argv[0], profile.cwd, error)) from error
            child = _launch(enclosed, profile, umask)
        async with _running(child):
            yield child


@asynccontextmanager
async def _running(child: _Child) -> AsyncIterator[None]:
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.drain_stderr)
            nursery.start_soon(child.end_after_exit)
            try:
                yield
            except BaseException as error:  # noqa: BLE001 - raised again below, past the nursery, which would wrap it in a group
                failure = error
            nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(KILL_BOUND, shield=True):
            await child.kill()
        child.close()
    if failure is not None:
        raise failure


GATE = 'echo r; read -r word && [ "$word" = go ] && '
"""A shell in whose place the program comes once it is told `go`. If its input ends, because we do, nothing runs. dash and others
know only descriptors of one digit: so stdin and stdout. It reads byte by byte, and takes nothing that is the program's."""

LIMITS = "ulimit -c 0; ulimit -n 65536; ulimit -u 16384 || ulimit -p 16384; "
"""Of whatever runs inside of walls: no core files, and no fork bomb (dash calls the number of processes p, bash u; kernels since
5.14 count those of the namespace alone). No others: node and compilers take more memory and larger files than one would guess."""


def gate(argv: Sequence[str], profile: Profile) -> list[str]:
    """The command that waits for `Process.go`, if the profile says so, and then is `argv`, within its limits."""
    limits = f"{{ {LIMITS} }} 2>/dev/null; " if profile.sandbox is not None and not profile.sandbox.whole else ""
    if not profile.gated and not limits:
        return list(argv)
    ends = " </dev/null" * profile.silent + " 2>&1" * profile.merged
    script = limits + (GATE + 'exec "$@"' + ends if profile.gated else 'exec "$@"')
    return ["/bin/sh", "-c", script, "sh", *argv]


def _launch(enclosed: Enclosed, profile: Profile, umask: int) -> _Child:
    argv = enclosed.argv
    environment = restore_library_path(profile.environment, frozen=getattr(sys, "frozen", False))
    pipe = subprocess.PIPE
    try:
        popen = subprocess.Popen(
            argv,
            bufsize=0,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=profile.cwd,
            env=environment,
            start_new_session=True,
            pass_fds=enclosed.fds,
            umask=umask,
        )
    except (OSError, ValueError) as error:
        raise ToolError(_explain(argv[0], profile.cwd, error)) from error
    try:
        return _Child(popen, os.pidfd_open(popen.pid), walled=enclosed.walled)
    except OSError as error:
        with popen:
            popen.kill()
        raise ToolError(_explain(argv[0], profile.cwd, error)) from error


def _explain(program: str, cwd: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError) and error.filename == cwd:
        return f"cannot start {program}: its working directory {cwd} cannot be used ({error.strerror})"
    if isinstance(error, FileNotFoundError):
        return f"cannot start {program}: no such program"
    if isinstance(error, PermissionError):
        return f"cannot start {program}: it may not be executed (permission denied)"
    return f"cannot start {program}: {error.strerror if isinstance(error, OSError) else error}"


def restore_library_path(environment: Mapping[str, str], *, frozen: bool) -> dict[str, str]:
    """The environment without PyInstaller's LD_LIBRARY_PATH, which would feed our bundled libraries to foreign programs."""
    restored = dict(environment)
    if frozen:
        restored.pop("LD_LIBRARY_PATH", None)
        original = restored.pop("LD_LIBRARY_PATH_ORIG", None)  # the bootloader keeps the user's value here
        if original is not None:
            restored["LD_LIBRARY_PATH"] = original
    return restored


class _Child:
    """A `ports.Process`, with what its scope needs beyond that."""

    def __init__(self, popen: subprocess.Popen[bytes], pidfd: int, *, walled: bool) -> None:
        self.pid = popen.pid
        self._popen = popen
        self._pidfd = pidfd
        self._walled = walled
        self._inner: int | None = None  # a pidfd, of the first process inside of the walls
        self._stdin, self._stdout, self._stderr = (cast(FileIO, pipe) for pipe in (popen.stdin, popen.stdout, popen.stderr))
        for pipe in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)
        self._tail = b""
        self._code: int | None = None
        self._one_waiter = trio.Lock()
        self._over = False  # what has not been written by now is nobody's: reading no longer waits

    async def go(self) -> None:
        ready = await self.receive(2)
        if ready != b"r\n":
            with trio.move_on_after(OUTPUT_GRACE):
                await self.wait()
            said = self.stderr_tail().strip()
            raise ToolError(f"the process ended before it could begin{': ' if said else ''}{said}")
        await self.send(b"go\n")

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        await trio.lowlevel.checkpoint()
        with suppress(BrokenPipeError, trio.ClosedResourceError):
            while rest and not self._over:
                written = self._stdin.write(rest)
                if written is None:  # a full pipe
                    await trio.lowlevel.wait_writable(self._stdin.fileno())
                else:
                    rest = rest[written:]

    async def receive(self, limit: int = 65536) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._stdout.closed:
            data = self._stdout.read(limit)
            if data is not None:
                self._look_inside()
                return data
            if self._over:
                break
            with suppress(trio.ClosedResourceError):  # how `end_after_exit` wakes us
                await trio.lowlevel.wait_readable(self._stdout.fileno())
        return b""

    def stderr_tail(self) -> str:
        if not self._stderr.closed:
            self._take_stderr()  # what it said just before its exit
        return self._tail.decode(errors="replace")

    async def wait(self) -> int:
        async with self._one_waiter:  # trio lets one task at a time wait on an fd
            if self._code is None:
                await trio.lowlevel.wait_readable(self._pidfd)
                self._code = _exit_code(self.pid)
        return self._code

    async def kill(self) -> None:
        self._look_inside()
        self._kill_group()
        await self.wait()
        self._popen.poll()
        async with self._one_waiter:
            if self._inner is not None:  # it is not seen to die before all others inside are dead
                await trio.lowlevel.wait_readable(self._inner)

    async def drain_stderr(self) -> None:
        while self._take_stderr():
            await trio.lowlevel.wait_readable(self._stderr.fileno())

    async def end_after_exit(self) -> None:
        """Once the child is gone: the grace, then the end of whatever it left behind, and of everybody's waiting for output."""
        await self.wait()
        await trio.sleep(OUTPUT_GRACE)
        await self.kill()
        self._over = True
        for pipe in (self._stdin, self._stdout):
            trio.lowlevel.notify_closing(pipe.fileno())

    def close(self) -> None:
        self._over = True
        for pipe in (self._stdin, self._stdout, self._stderr):
            trio.lowlevel.notify_closing(pipe.fileno())
            pipe.close()
        for fd in (self._pidfd, self._inner):
            if fd is not None:
                trio.lowlevel.notify_closing(fd)
                os.close(fd)

    def _look_inside(self) -> None:
        """Take hold of the first process inside of the walls, once there is one. Bubblewrap could tell its pid itself, but would
        then be at work, and be killed with us, while that process waits for a word from it: and would wait for ever."""
        if self._walled and self._inner is None:
            with suppress(OSError), open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
                for pid in children.read().split()[:1]:
                    self._inner = os.pidfd_open(int(pid))

    def _take_stderr(self) -> bool:
        """Keep what is there; False at the end of the pipe."""
        data = self._stderr.read(STDERR_RING)
        if data:
            self._tail = (self._tail + data)[-STDERR_RING:]
        return data != b""

    def _kill_group(self) -> None:
        if self._popen.returncode is None:  # reaped: the number may be somebody else's by now
            with suppress(ProcessLookupError, PermissionError):  # already empty; a set-uid program took another user
                os.killpg(self.pid, signal.SIGKILL)


def _exit_code(pid: int) -> int:
    """Of a child that has exited, leaving it to be reaped later."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if found is None:
        raise AssertionError("waitid without WNOHANG always finds the child")
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
