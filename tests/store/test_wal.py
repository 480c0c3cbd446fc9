"""The write-ahead log of a connection: kept short, begun anew, and not built upon once a sync of it has failed."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from agentd.core.index import index_change
from agentd.store.reader import Reader
from agentd.store.sqlite import Append, Database, Draft, Encoded, Item, connect
from agentd.store.wal import sync_failed
from agentwire.errors import StorageFull
from agentwire.events import encode_body
from tests.faults.vfs import Fault, Gate, faulty
from tests.store.running import noise, renamed


@pytest.fixture
def gate() -> Iterator[Gate]:
    with faulty() as gate:
        yield gate


class Cramped(Database):
    """On a disk that has next to no space left."""

    def _space(self) -> int:
        return 0


def log_at(path: Path, kind: type[Database] = Database) -> Database:
    database = kind(connect(str(path / "agentd.db")), str(path / "agentd.db"), index_change)
    database.migrate()
    return database


def wal_of(path: Path) -> Path:
    return path / "agentd.db-wal"


def append(title: str = "x") -> Append:
    new = renamed(title)
    return Append([Encoded(new.stream, new.user, 1.0, new.body, encode_body(new.body))])


def next_sync_fails(gate: Gate, times: int = 1) -> None:
    gate.fault = Fault("sync", gate.seen["sync"], apsw.SQLITE_IOERR_FSYNC, times)


def count(path: Path) -> int:
    database = log_at(path)
    found = len(Reader(database.db, database.path).read("s", 0, 1000))
    database.db.close()
    return found


def test_what_an_earlier_run_left_is_moved_before_anything_is_added(tmp_path: Path, gate: Gate) -> None:
    """A killed daemon's log may end in what the disk never had: its content is in the file when the next one commits."""
    killed = log_at(tmp_path)
    killed.commit([append()])
    killed.db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    killed.db.close()
    left = wal_of(tmp_path).read_bytes()
    later = log_at(tmp_path)
    next_sync_fails(gate, times=100)
    with pytest.raises(apsw.IOError):
        later.commit([append()])
    assert wal_of(tmp_path).read_bytes() == left
    gate.fault = None
    later.db.close()
    assert count(tmp_path) == 1


@pytest.mark.parametrize("kind", [Database, Cramped])
def test_failed_sync_is_the_end_and_never_a_full_disk(tmp_path: Path, gate: Gate, kind: type[Database]) -> None:
    """Trying again would succeed and prove nothing. Closing the connection leaves the log for the next start to judge."""
    database = log_at(tmp_path, kind)
    database.commit([append()])
    next_sync_fails(gate)
    with pytest.raises(apsw.IOError) as failure:
        database.commit([append()])
    assert sync_failed(failure.value)
    database.db.close()
    assert wal_of(tmp_path).exists()
    assert count(tmp_path) in (1, 2)


def test_read_only_file_system_is_said_to_be_one_and_waited_for(tmp_path: Path, gate: Gate) -> None:
    """As the kernel makes it when it finds a fault: writes are refused with the reason, reading works, and later ones succeed."""
    database = log_at(tmp_path)
    database.commit([append()])
    gate.fault = Fault("write", 0, apsw.SQLITE_IOERR_WRITE, math.inf, errno=errno.EROFS)
    for _ in range(2):
        with pytest.raises(StorageFull, match="read-only"):
            database.commit([append()])
        assert len(Reader(database.db, database.path).read("s", 0, 9)) == 1
    gate.fault = None
    database.commit([append()])
    database.db.close()
    assert count(tmp_path) == 2


def commit(database: Database, item: Item) -> None:
    """As the log does it."""
    database.commit([item])
    if database.untidy:
        database.tidy()


def stream_drafts(database: Database) -> None:
    """No commit of these syncs, but a checkpoint does."""
    for number in range(100):
        commit(database, Draft("s", noise(4000, number).encode()))


def test_failure_of_a_checkpoint_is_told(tmp_path: Path, gate: Gate) -> None:
    """SQLite would keep it to itself, and drafts that nobody synced would be a hole before the next event."""
    database = log_at(tmp_path)
    database.commit([append()])
    next_sync_fails(gate)
    with pytest.raises(apsw.IOError):
        stream_drafts(database)
    database.db.close()
    assert wal_of(tmp_path).exists()


def test_full_disk_during_a_checkpoint_loses_nobody_his_commit(tmp_path: Path, gate: Gate) -> None:
    """The batch is in the log: it is acknowledged, and the checkpoint is tried again by the next."""
    database = log_at(tmp_path)
    database.commit([append()])
    gate.fault = Fault("write", 0, apsw.SQLITE_FULL, math.inf, file="agentd.db")
    for number in range(100):
        commit(database, append(noise(3000, number)))
    assert gate.failures
    assert wal_of(tmp_path).stat().st_size > 64 * 4120
    gate.fault = None
    for _ in range(2):  # the first moves all of it, the second begins anew
        commit(database, append())
    database.db.close()
    assert count(tmp_path) == 103
