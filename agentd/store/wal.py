"""The write-ahead log: when what is in it moves into the file, and when it must not be built upon.

Theory of operation: SQLite's own checkpoints keep their failures to themselves; ours say what failed. That matters for a sync: the
system may have dropped the pages that it could not write and count them as written all the same, so that the next sync succeeds and
proves nothing (https://wiki.postgresql.org/wiki/Fsync_Errors). A commit behind such a hole would be lost with it when the power
fails. So nobody tries a second time: the writer ends, and leaves the log as it is. The next start finds out by the checksums of the
frames how far the log goes. What it could read may still not be on the disk: it writes it once more, so that there is something to
sync, moves it into the file, and begins a new log, before anything is added.
"""

from __future__ import annotations

import os

import apsw

_LONG = 64
"""Frames; SQLite says 1,000. The log stays small, and so does what a message takes (389 bytes of disk, not 2,292); no cost seen."""
BUSY_TIMEOUT = 5000
"""Milliseconds to wait for a foreign program's lock on the file (promises.md)."""
_PIECE = 65536
"""Bytes; SQLite itself never writes more than 128 KiB at once, and its layer for Unix fails beyond."""
_SYNC_FAILED = (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)


class Wal:
    """The log of one connection, used in its thread. `fresh` False: it has what an earlier run left, or rows that were erased.

    Error handling: all methods raise apsw.Error.
    """

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._frames = 0
        self._inherited = True
        self.fresh = False

    def watch(self) -> None:
        """Take over from SQLite: from now on `tidy` is the only one who makes checkpoints."""
        self._db.set_wal_hook(self._grown)

    def _grown(self, _db: apsw.Connection, _name: str, frames: int) -> int:
        self._frames = frames
        return apsw.SQLITE_OK

    def renew(self) -> None:
        """Move all of it into the file and begin anew; if a reader is in the way it stays as it is, and not `fresh`."""
        if self._inherited:
            self._write_again()
            self._inherited = False
        self._db.set_busy_timeout(0)  # no commit waits for a reader because of this
        try:
            self.fresh = self._db.pragma("wal_checkpoint", "TRUNCATE")[0] == 0
        finally:
            self._db.set_busy_timeout(BUSY_TIMEOUT)
        self._frames = 0

    def _write_again(self) -> None:
        """Not with Python's own files: closing one would give up SQLite's locks (https://www.sqlite.org/howtocorrupt.html, 2.2)."""
        if not os.path.exists(self._db.filename_wal):
            return
        file = apsw.VFSFile("", self._db.filename_wal, [apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_WAL, 0])
        try:
            size = file.xFileSize()
            for at in range(0, size, _PIECE):
                file.xWrite(file.xRead(min(_PIECE, size - at), at), at)  # beyond the end it would drop zeros before it
            file.xSync(apsw.SQLITE_SYNC_NORMAL)
        finally:
            file.xClose()

    @property
    def long(self) -> bool:
        return self._frames >= _LONG

    def tidy(self) -> None:
        """After a commit: begin anew if rows were erased, and keep it short. Readers are waited for by nobody."""
        if not self.fresh:
            self.renew()
        elif self.long:
            self._frames = 0
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def distrust(self) -> None:
        """A write or a sync has failed: leave it to the next start, not to SQLite's last checkpoint when the connection closes."""
        self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)


def sync_failed(error: apsw.Error) -> bool:
    return getattr(error, "extendedresult", None) in _SYNC_FAILED
