"""openat2(2), which the standard library lacks: a path is opened as it stands, or not at all.

With RESOLVE_NO_SYMLINKS no component of the path may be a link (nor one of /proc's magic ones), however the directories are
swapped meanwhile: the kernel looks while it walks. That is stricter than RESOLVE_BENEATH, which follows links that stay inside.
"""

from __future__ import annotations

import ctypes
import errno
import os

from agentwire.errors import ToolError

AT_FDCWD = -100
_NUMBER = 437  # of the system call, on all architectures
_NO_SYMLINKS, _BENEATH = 0x04, 0x08
_UNKNOWN = "file tools need Linux 5.6 or later, and no seccomp filter that forbids openat2: use the shell tool instead"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_as_it_stands(path: str, flags: int, *, directory: int = AT_FDCWD) -> int:
    """Open `path`, absolute or a name in `directory`, following no link anywhere. Never waits for a FIFO's other end.

    Error handling: OSError, ELOOP where there is a link; ToolError if the kernel has no openat2.
    """
    resolve = _NO_SYMLINKS if directory == AT_FDCWD else _NO_SYMLINKS | _BENEATH
    safe = 0 if flags & os.O_PATH else os.O_NONBLOCK | os.O_NOCTTY
    how = _How(flags | safe | os.O_CLOEXEC, 0, resolve)
    name = ctypes.c_char_p(os.fsencode(path))
    size = ctypes.c_size_t(ctypes.sizeof(how))
    while (fd := int(_libc.syscall(ctypes.c_long(_NUMBER), ctypes.c_int(directory), name, ctypes.byref(how), size))) < 0:
        code = ctypes.get_errno()
        if code == errno.ENOSYS or (code == errno.EPERM and flags & os.O_PATH):
            raise ToolError(_UNKNOWN)
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), path)
    return fd
