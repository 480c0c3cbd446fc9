"""Opening what was planned: exactly the path that was judged, and only files and directories.

Theory of operation: a call is judged by the real path of its file, found when it was planned. Between then and now anything may
have been swapped: a name for a link, a directory for a link. A real path has no links, so it is opened without following any
(`openat2`): what comes is at that path, or nothing does. Changes go through a descriptor of the directory, and end in a rename,
which replaces a link and never follows it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from agentd.toolsources.files.openat2 import AT_FDCWD, open_as_it_stands
from agentwire.errors import ToolError

_WHY = {
    errno.ENOENT: "there is no such file or directory",
    errno.EACCES: "permission denied: the daemon's user may not do this",
    errno.EPERM: "the system does not permit it",
    errno.ELOOP: "a link was put into this path after the call was planned, or links go in a circle: look at it and call again",
    errno.ENOTDIR: "a part of this path is a file, not a directory",
    errno.EISDIR: "it is a directory",
    errno.ENAMETOOLONG: "a name in it is too long",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "no space is left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.ENXIO: "it is a socket, a FIFO or a device: only files and directories can be opened",
}


@contextmanager
def explained(path: str) -> Iterator[None]:
    """OSErrors inside become sentences for the model."""
    try:
        yield
    except OSError as error:
        raise ToolError(f"{path}: {_WHY.get(error.errno or 0) or error.strerror or error}") from error


def resolve(path: str, cwd: str) -> str:
    """The absolute path with its links resolved, as far as it exists. Raises ToolError if it cannot be a path."""
    if not path:
        raise ToolError("path is empty: give a file or directory")
    try:
        return os.path.realpath(os.path.join(cwd, os.path.expanduser(path)))
    except ValueError as error:
        raise ToolError(f"{path!r} is not a path: {error}") from None


@contextmanager
def opened(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """A regular file or directory, for reading, and what it is. Error handling: OSError, ToolError for anything else."""
    if path == "/proc" or path.startswith("/proc/"):
        raise ToolError(f"{path}: file tools do not read /proc, where they would see the daemon: use the shell tool")
    with opened_in(AT_FDCWD, path) as found:
        yield found


@contextmanager
def opened_in(directory: int, name: str) -> Iterator[tuple[int, os.stat_result]]:
    """The same for a name in an open directory."""
    fd = open_as_it_stands(name, os.O_RDONLY, directory=directory)
    try:
        about = os.fstat(fd)
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            raise OSError(errno.ENXIO, "", name)
        yield fd, about
    finally:
        os.close(fd)


@contextmanager
def opened_parent(path: str, *, umask: int) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory of `path`, made with those above it where they are missing, and the name in it."""
    if path.startswith("/proc/") or path == "/":
        raise ToolError(f"{path}: nothing can be written there")
    parent, name = os.path.split(path)
    fd = _directory(parent, umask)
    try:
        yield fd, name
    finally:
        os.close(fd)


def _directory(path: str, umask: int) -> int:
    try:
        return open_as_it_stands(path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        above, name = os.path.split(path)
    outer = _directory(above, umask)
    try:
        made = _make(outer, name)
        fd = open_as_it_stands(name, os.O_RDONLY | os.O_DIRECTORY, directory=outer)
        if made:
            os.fchmod(fd, 0o777 & ~umask)
        return fd
    finally:
        os.close(outer)


def _make(outer: int, name: str) -> bool:
    try:
        os.mkdir(name, dir_fd=outer)
    except FileExistsError:  # another call was faster
        return False
    return True
