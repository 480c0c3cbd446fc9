"""What adapters ask of whoever starts processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class Profile:
    """How a child is started: a directory, and a built environment (never ours)."""

    cwd: str
    environment: Mapping[str, str]


class Process(Protocol):
    """A child with its whole process group. Everything is safe to call after the end."""

    pid: int

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
        """Start a child in a group of its own; leaving the scope kills what is left of the group.

        Error handling: entering raises ToolError if the program or the directory cannot be used.
        """
