"""Replacing a file's content: all of it or nothing, by a new file in the same directory and a rename.

What counts is the state of the file that the content was made from: if it is another by the time of the rename, nothing is
changed. Nothing is synced to the disk, as no editor of a working tree does: a crash of the daemon loses nothing.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress

import trio

from agentd.toolsources.files.known import Known, Stamp
from agentd.toolsources.files.opening import explained, opened, opened_parent
from agentwire.errors import ToolError

LARGEST = 32 * 1024 * 1024  # bytes of a file that is held in memory
CHANGED = "the file changed since it was read in this session: read it again, then repeat the call with what it has now"
UNREAD = "the file was not read in this session (or the daemon has been restarted since): read it first, then repeat the call"


def content_of(path: str) -> tuple[bytes, Known] | None:
    """A whole file and what is known of it by that; None if there is none. Error handling: ToolError."""
    try:
        with explained(path), opened(path) as (fd, about):
            if about.st_size > LARGEST:
                raise ToolError(f"{path}: it has {about.st_size} bytes, more than file tools change: use the shell tool")
            with open(fd, "rb", buffering=0, closefd=False) as file:
                content = file.read()
            return content, Known.whole(about, content)
    except ToolError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def replace(path: str, content: bytes, was: Known | None, *, umask: int) -> Known:
    """Give the file at the real path this content. `was`: its state before, None if there must be none.

    Error handling: ToolError; nothing has changed then, but that directories may have been made.
    """
    with explained(path), opened_parent(path, umask=umask) as (directory, name):
        mode, owner = _manners(directory, name, was, umask)
        temporary = f".agentd-{secrets.token_hex(8)}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            with open(fd, "wb", buffering=0) as file:
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
                if owner is not None:
                    with suppress(PermissionError):  # somebody else's file in a directory of ours: it becomes ours
                        os.fchown(fd, *owner)
                os.fchmod(fd, mode)
                trio.from_thread.check_cancelled()
                _commit(directory, temporary, name, was)
                return Known.whole(os.fstat(fd), content)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
            raise


def _manners(directory: int, name: str, was: Known | None, umask: int) -> tuple[int, tuple[int, int] | None]:
    """The mode of the new file, and its owner if that is not us."""
    if was is None:
        return 0o666 & ~umask, None
    about = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not os.access(name, os.W_OK, dir_fd=directory, effective_ids=True):
        raise ToolError(
            f"{name}: the file is read-only (mode {about.st_mode & 0o7777:04o}); if it may be changed, `chmod u+w` it first"
        )
    foreign = (about.st_uid, about.st_gid) != (os.geteuid(), os.getegid())
    return about.st_mode & 0o7777, (about.st_uid, about.st_gid) if foreign else None


def _commit(directory: int, temporary: str, name: str, was: Known | None) -> None:
    if was is None:
        _create(directory, temporary, name)
        return
    now = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if Stamp.of(now) != was.stamp:
        raise ToolError(f"{name}: {CHANGED}")
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


def _create(directory: int, temporary: str, name: str) -> None:
    """A rename that replaces nothing."""
    try:
        os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        raise ToolError(f"{name}: {UNREAD}") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)  # a file system without hard links
    else:
        os.unlink(temporary, dir_fd=directory)
