"""What adapters ask of whoever starts processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class Sandbox:
    """The walls around a child: its own processes, a file system that is only read but for `write`, no network unless `network`.

    All are absolute paths with their links resolved. `read`: what it sees besides system, home tools and `write`; `hide`: what it
    never sees, also where it is inside another path; `show`: what it sees all the same, unchanged, inside of that; `keep`: what
    inside `write` it cannot change, nor make. `whole`: it sees and writes everything but `hide` (explicit bypass, trusted
    servers): only processes are walled in.
    """

    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    network: bool = False
    whole: bool = False


@frozen(kw_only=True)
class Profile:
    """How a child is started: a directory, a built environment (never ours), and the walls around it, if there are any.

    `gated`: nothing of it runs before `Process.go`. `silent`: it has nothing to read; else it is spoken to on its stdin. `merged`:
    its stderr goes where its stdout goes, in the order in which it was written.
    """

    cwd: str
    environment: Mapping[str, str]
    sandbox: Sandbox | None = None
    gated: bool = False
    silent: bool = False
    merged: bool = False


class Process(Protocol):
    """A child with its whole process group. Everything is safe to call after the end."""

    pid: int

    async def go(self) -> None:
        """Let a gated child begin: what it is about to do is in the log. If that never comes it ends and has done nothing.

        Error handling: ToolError if it ended before it was ready, with what it said: its walls could not be built.
        """

    async def send(self, data: bytes) -> None:
        """Write to its stdin; what a child that is gone did not read is dropped without an error."""

    async def receive(self, limit: int = 65536) -> bytes:
        """Bytes from its stdout, b"" at the end: of the pipe, or 0.5 s after its exit if somebody else holds the pipe open."""

    def stderr_tail(self) -> str:
        """The last 64 KiB it said on stderr."""

    async def wait(self) -> int:
        """Its exit code (negative: the signal), by pidfd and not by end of pipe."""

    async def kill(self) -> None:
        """SIGKILL to the whole group; returns when the child is reaped."""


class Spawner(Protocol):
    def start(self, argv: Sequence[str], profile: Profile) -> AbstractAsyncContextManager[Process]:
        """Start a child in a group of its own; leaving the scope kills what is left of the group, with a sandbox all of it.

        Error handling: entering raises ToolError if the program or the directory cannot be used, SandboxUnavailable if there are to
        be walls and there can be none.
        """
