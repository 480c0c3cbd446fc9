"""A log file that rotates by itself: `log`, then `log.1` (newer) to `log.<keep>`.

One line is one `write` to a file opened for appending, so that lines of several processes never mix. Before each line a look at
the name says whether the file is still the one that is open: whoever renamed it, the next line goes to the new one. Of two
processes that find the file full the one with the file's lock rotates it. Nothing here raises after the start: what a full disk
prevents costs the size limit or the line.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress

from agentwire.errors import ConfigError

OUTPUT_BYTES = 1024 * 1024
"""What the file of stray output may grow to between two looks at it."""
_STDERR = 2


class LogFile:
    """`max_bytes`: the size after which the file is rotated, 0 for never; `keep`: how many old ones stay. `descriptor`: always the
    same number, whichever file is open.

    Error handling: ConfigError if the file cannot be opened at the beginning.
    """

    def __init__(self, path: str, *, max_bytes: int, keep: int) -> None:
        self.descriptor = -1
        self.change(path, max_bytes=max_bytes, keep=keep)

    def change(self, path: str, *, max_bytes: int, keep: int) -> None:
        """From now on this file, opened anew, with these limits. Raises ConfigError, and then nothing has changed."""
        try:
            self._use(path)
        except OSError as error:
            raise ConfigError(
                f"cannot open the log file {path}: {error.strerror}; set log.file (LOG_FILE) to a file that can be written",
                key="log.file",
                file=path,
            ) from None
        self._path, self._max_bytes, self._keep = path, max_bytes, keep

    def write(self, data: bytes) -> bool:
        """Append it; whether all of it is written."""
        with suppress(OSError):  # then what is open goes on
            if self._moved():
                self._use(self._path)
            elif self._full(len(data)):
                self._rotate()
        try:
            return os.write(self.descriptor, data) == len(data)
        except OSError:
            return False

    def _use(self, path: str) -> None:
        """Go on in the file that has the name now. Raises OSError, and then what was open stays."""
        opened = _open(path)
        if self.descriptor < 0:
            self.descriptor = opened
        else:  # whoever knows the number writes into the new file
            os.dup2(opened, self.descriptor, inheritable=False)
            os.close(opened)
        self._is = os.fstat(self.descriptor)

    def _moved(self) -> bool:
        try:
            return not os.path.samestat(os.stat(self._path), self._is)
        except FileNotFoundError:
            return True

    def _full(self, more: int) -> bool:
        if not self._max_bytes or not stat.S_ISREG(self._is.st_mode):
            return False
        size = os.fstat(self.descriptor).st_size
        return size > 0 and size + more > self._max_bytes

    def _rotate(self) -> None:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process is at it
        if not self._moved():
            for number in range(self._keep - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.rename(f"{self._path}.{number}", f"{self._path}.{number + 1}")
            if self._keep:
                os.rename(self._path, f"{self._path}.1")
            else:
                os.unlink(self._path)
        self._use(self._path)


def bound_output(path: str) -> None:
    """Empty the file of stray output, if that is where this process prints and it has grown too long."""
    with suppress(OSError):
        found = os.fstat(_STDERR)
        if found.st_size > OUTPUT_BYTES and os.path.samestat(found, os.stat(path)):
            os.ftruncate(_STDERR, 0)


def _open(path: str) -> int:
    _make_private(os.path.dirname(path))
    # O_NONBLOCK: a pipe without a reader, or a full one, must not stop the daemon.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    return os.open(path, flags, 0o600)


def _make_private(directory: str) -> None:
    """os.makedirs gives its mode only to the last directory."""
    if directory and not os.path.isdir(directory):
        _make_private(os.path.dirname(directory))
        os.makedirs(directory, 0o700, exist_ok=True)
