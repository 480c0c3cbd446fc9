"""What is written to the log's file: everything synchronous, everything in the thread of its connection.

Theory of operation: `Database` is the one connection that writes; it commits whole batches (`commit`). `store/log.py` decides what
goes into a batch, `store/reader.py` reads.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import apsw
from attrs import define, field

from agentd.ports import Adopt, CallChange, IdemKey, IndexChange, Indexer, UsageChange
from agentd.store import blob, usage
from agentd.store.calls import Calls
from agentd.store.erasing import erase_stream
from agentd.store.listing import Listing
from agentd.store.migrations import migrate
from agentd.store.reader import KEY_LIFETIME
from agentd.store.sums import sealed, sum_of
from agentd.store.transaction import transaction
from agentd.store.wal import BUSY_TIMEOUT, Wal, sync_failed
from agentwire.errors import StorageFull
from agentwire.events import KIND_OF, VERSION_OF, Event

_LOW_SPACE = 1024 * 1024
_CLEAN = 600.0
"""Seconds after which keys that are too old to count are looked for."""

# The draft is what was streamed before these; they hold all of it that counts.
ENDS_DRAFT = frozenset({"assistant_message", "turn_finished"})


@define
class Encoded:
    """An event on its way in: encoded by the appender, so that a value that cannot be encoded is the appender's error."""

    stream: str
    user: str
    at: float
    body: Any
    data: bytes


@define
class Append:
    """One `append` call of a batch. `committed` is set when the batch commits. `key_at`: from when on the key ages."""

    events: Sequence[Encoded]
    key: IdemKey | None = None
    key_at: float = 0.0
    erase: str | None = None
    adopt: Adopt | None = None
    committed: list[Event] = field(factory=list)


@define
class Draft:
    stream: str
    chunk: bytes


@define
class Write:
    """Any other write: snapshots, blobs, boots."""

    action: Callable[[Database], Any]
    result: Any = None


Item = Append | Draft | Write


@define
class _Stream:
    id: int
    user: str
    head: int


def connect(path: str) -> apsw.Connection:
    """A connection of our settings; the schema is not touched."""
    db = apsw.Connection(path)
    prepare(db)
    return db


def prepare(db: apsw.Connection) -> None:
    db.set_busy_timeout(BUSY_TIMEOUT)
    if db.pragma("page_count") == 0:
        db.pragma("auto_vacuum", "incremental")  # space can be given back in small steps, between the commits
    for name, value in (
        ("journal_mode", "wal"),
        ("synchronous", "FULL"),
        ("wal_autocheckpoint", 0),  # wal.py does it
        # What a large commit has made of it is given back; not what it always takes: to be cut and to grow makes syncs slower.
        ("journal_size_limit", 320 * 1024),
        ("secure_delete", "ON"),
        ("cache_size", -2000),
        ("temp_store", "MEMORY"),
    ):
        db.pragma(name, value)


class Database:
    """One connection and the statements on it. Not thread-safe: the caller keeps it in one thread."""

    def __init__(self, db: apsw.Connection, path: str, index: Indexer) -> None:
        self.db = db
        self.path = path
        self._index = index
        self._streams: dict[str, _Stream] = {}
        self._calls, self._listing = Calls(db), Listing(db)
        self._aged = 0.0
        self._synchronous = "FULL"
        self._wal = Wal(db)

    def migrate(self) -> None:
        try:
            migrate(self.db, self.path)
        except apsw.IOError:
            self._wal.distrust()
            raise
        self._wal.watch()

    # --- writing -----------------------------------------------------------------------------------------------------------

    def commit(self, items: Sequence[Item]) -> None:
        """Write a batch in one transaction: FULL if any event is in it, NORMAL for drafts alone.

        Error handling: raises StorageFull with nothing written; any other error means the file cannot be trusted any more.
        """
        self._sync_mode("NORMAL" if all(isinstance(item, Draft) for item in items) else "FULL")
        try:
            if not self._wal.fresh:
                self._wal.renew()
            with transaction(self.db):
                for item in items:
                    self._write(item)
        except BaseException as error:
            self._streams.clear()  # their heads may count what was rolled back
            self._calls.forget()
            self._listing.forget()
            self._refuse(error)
            raise
        if any(isinstance(item, Append) and item.erase for item in items):
            self._wal.fresh = False
            self.tidy()

    @property
    def untidy(self) -> bool:
        """The log has grown: `tidy` is due, but nobody has to wait for it."""
        return self._wal.long

    def tidy(self) -> None:
        """Keep the log short. Raises apsw.Error: the file cannot be trusted any more."""
        with suppress(StorageFull):  # what is committed is written; the next one tries again
            try:
                self._wal.tidy()
            except apsw.Error as error:
                self._refuse(error)
                raise

    def _refuse(self, error: BaseException) -> None:
        """Raise StorageFull if the disk takes no more for now. Else, if it is broken, what it has is left to the next start."""
        if not isinstance(error, apsw.FullError | apsw.IOError):
            return
        if not sync_failed(error) and (reason := self._no_room(error)):
            raise StorageFull(reason) from error
        self._wal.distrust()

    def _no_room(self, error: apsw.Error) -> str:
        """Why the disk takes no more; empty if it should. Some file systems call a lack of space an I/O error."""
        if self.db.system_errno == errno.EROFS:
            return f"{self.path} is on a file system that is read-only now; mount it for writing again, nothing was lost"
        if isinstance(error, apsw.FullError) or self._space() < _LOW_SPACE:
            return f"no space left for {self.path}; free some, nothing was lost"
        return ""

    def _write(self, item: Item) -> None:
        match item:
            case Append():
                item.committed = [self._insert(event) for event in item.events]
                self._calls.write()
                self._listing.write()
                if item.erase:
                    self._erase(item.erase)
                if item.adopt:
                    self._adopt(item.adopt)
                if item.key:
                    self._remember(item.key, item.key_at, item.committed)
            case Draft(stream=stream, chunk=chunk):
                if known := self._known(stream):
                    self.db.execute("INSERT INTO draft (stream, data) VALUES (?, ?)", (known.id, chunk))
            case Write():
                item.result = item.action(self)

    def _insert(self, new: Encoded) -> Event:
        stream = self._known(new.stream) or self._open(new.stream, new.user)
        kind = KIND_OF[type(new.body)]
        version = VERSION_OF[kind]
        seq = stream.head + 1
        checked = sum_of(new.stream, stream.user, seq, new.at, kind, version, new.data)
        self.db.execute(
            "INSERT INTO event (stream, seq, kind, version, at, data, sum) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (stream.id, seq, kind, version, new.at, blob.pack(new.data), checked),
        )
        pos = self.db.last_insert_rowid()
        stream.head = seq
        if kind in ENDS_DRAFT:
            self.db.execute("DELETE FROM draft WHERE stream = ?", (stream.id,))
        match self._index(new.body):
            case IndexChange() as change:
                self._listing.take(new.stream, new.user, new.at, change)
                if change.call:
                    self._calls.take(pos, stream.id, stream.user, new.at, change.call)
            case CallChange() as change:
                self._calls.take(pos, stream.id, stream.user, new.at, change)
            case UsageChange() as change:
                usage.count(self.db, stream.user, new.at, new.stream, change)
        return Event(
            pos=pos,
            stream=new.stream,
            seq=seq,
            user=stream.user,
            at=new.at,
            kind=kind,
            version=version,
            body=new.body,
            data=new.data,
        )

    def _erase(self, name: str) -> None:
        stream = self._known(name)
        if stream is None:
            return
        erase_stream(self.db, stream.id, name)
        self._calls.erase(stream.id)
        del self._streams[name]

    def _adopt(self, adopt: Adopt) -> None:
        ours, theirs = self._known(adopt.stream), self._known(adopt.source)
        if ours is None or theirs is None:  # erased since the appender looked
            return
        statement = (
            "INSERT OR IGNORE INTO blob_reference SELECT ?, blob.id FROM blob "
            "JOIN blob_reference ON blob_reference.blob = blob.id WHERE sha256 = ? AND blob_reference.stream = ?"
        )
        self.db.executemany(statement, [(ours.id, name, theirs.id) for name in sorted(adopt.blobs)])

    def _remember(self, key: IdemKey, at: float, events: Sequence[Event]) -> None:
        if not 0 <= at - self._aged < _CLEAN:
            self._aged = at
            self.db.execute("DELETE FROM idempotency WHERE at < ?", (at - KEY_LIFETIME,))
        # REPLACE: one that is too old to count may still be there.
        row = (key.user, key.key, key.digest, key.answer(events), at)
        self.db.execute("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?)", row)

    def newest(self) -> float:
        """When the last event was, as it was told then; 0.0 if there is none."""
        at: float | None = self.db.execute("SELECT at FROM event ORDER BY pos DESC LIMIT 1").get
        return at or 0.0

    def _open(self, name: str, user: str) -> _Stream:
        self.db.execute("INSERT INTO stream (name, user) VALUES (?, ?)", (name, user))
        stream = self._streams[name] = _Stream(self.db.last_insert_rowid(), user, 0)
        return stream

    def _known(self, name: str) -> _Stream | None:
        if found := self._streams.get(name):
            return found
        row = self.db.execute("SELECT id, user FROM stream WHERE name = ?", (name,)).get
        if row is None:
            return None
        head = self.db.execute("SELECT max(seq) FROM event WHERE stream = ?", (row[0],)).get
        stream = self._streams[name] = _Stream(row[0], row[1], head or 0)
        return stream

    def _sync_mode(self, mode: str) -> None:
        if mode != self._synchronous:
            self.db.pragma("synchronous", mode)
            self._synchronous = mode

    def _space(self) -> int:
        disk = os.statvfs(os.path.dirname(self.path) or ".")
        return disk.f_bavail * disk.f_frsize

    def save_snapshot(self, name: str, seq: int, code: str, state: bytes) -> None:
        if stream := self._known(name):
            packed = sealed(blob.pack(state, cold=True), f"{name} {seq} {code}")
            self.db.execute("DELETE FROM snapshot WHERE stream = ?", (stream.id,))  # whose pages the new one takes
            self.db.execute("INSERT INTO snapshot VALUES (?, ?, ?, ?)", (stream.id, seq, code, packed))

    def put_blob(self, name: str, content: bytes, sha256: str) -> None:
        stream = self._known(name)
        if stream is None:  # erased meanwhile: nobody can ask for it any more
            return
        row = self.db.execute("SELECT id FROM blob WHERE sha256 = ?", (sha256,)).get
        if row is None:
            self.db.execute("INSERT INTO blob (sha256, bytes, data) VALUES (?, ?, ?)", (sha256, len(content), blob.pack(content)))
            row = self.db.last_insert_rowid()
        self.db.execute("INSERT OR IGNORE INTO blob_reference VALUES (?, ?)", (stream.id, row))

    def start_boot(self, boot: str, at: float) -> list[float]:
        """Record this boot; returns when each earlier boot that did not end cleanly had started."""
        unclean = [row[0] for row in self.db.execute("SELECT started_at FROM boot WHERE ended_at IS NULL")]
        self.db.execute("DELETE FROM boot WHERE started_at < ?", (at - 7 * 24 * 3600.0,))
        self.db.execute("INSERT INTO boot VALUES (?, ?, NULL)", (boot, at))
        return unclean

    def end_boot(self, boot: str, at: float) -> None:
        # A clean end also closes the book on the crashes before it: only those since the last clean stop count.
        self.db.execute("UPDATE boot SET ended_at = ? WHERE ended_at IS NULL", (at,))
