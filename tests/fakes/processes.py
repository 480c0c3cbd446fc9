"""Watching real processes without sleeping: a mailbox that children write to, and the moment a process is gone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

PATIENCE = 10.0  # seconds after which a test that hangs says so; nothing is measured with it


class Mailbox:
    """A FIFO. A child says something with `echo word > path` or `open(path, "w").write("word\\n")`; `read` gives the next line."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)  # also writing: it never ends
        self._text = ""

    async def read(self) -> str:
        with trio.fail_after(PATIENCE):
            while "\n" not in self._text:
                await trio.lowlevel.wait_readable(self._fd)
                self._text += os.read(self._fd, 65536).decode()
        line, self._text = self._text.split("\n", 1)
        return line

    def write(self, line: str) -> None:
        """Say something to a child that reads here."""
        os.write(self._fd, f"{line}\n".encode())

    async def pid(self) -> int:
        return int(await self.read())

    def empty(self) -> bool:
        with suppress(BlockingIOError):
            self._text += os.read(self._fd, 65536).decode()
        return not self._text

    def close(self) -> None:
        os.close(self._fd)


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    with tempfile.TemporaryDirectory(prefix="agentd-") as folder:
        box = Mailbox(str(Path(folder) / "mailbox"))
        yield box
        box.close()


async def gone(pid: int) -> None:
    """Wait until the process has died, whoever's child it is; fails if it lives on."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with trio.fail_after(PATIENCE):
            await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)


def children() -> set[int]:
    """Every child of this process, zombies included."""
    return {int(pid) for tasks in Path("/proc/self/task").iterdir() for pid in (tasks / "children").read_text().split()}


def open_fds() -> set[str]:
    """This process' open fds with what they are; the one that lists them is not among them."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:
            continue
    return found
