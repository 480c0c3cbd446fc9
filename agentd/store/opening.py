"""Opening the log: connections, migration, and what to say when it cannot be done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import apsw
import trio

from agentd.ports import Clock, Indexer
from agentd.store import files
from agentd.store.log import EventLog
from agentd.store.reader import Reader
from agentd.store.repair.sound import Soundness, make_sound
from agentd.store.sqlite import Database, connect, prepare
from agentd.store.worker import Inline, Worker
from agentwire.errors import StoreError


@asynccontextmanager
async def open_log(path: str, index: Indexer, clock: Clock) -> AsyncIterator[EventLog]:
    """The log at `path`, opened and migrated.

    Resource handling: two connections with a thread each, closed when the scope ends.
    Error handling: ConfigError for a newer schema, StoreError for a file that cannot be used or is no database.
    """
    async with _connection(path, "log writer") as (write_db, writes), _connection(path, "log reader") as (read_db, reads):
        writer, reader = Database(write_db, path, index), Reader(read_db, path)
        try:
            await writes.run(prepare, write_db)
            await writes.run(writer.migrate)
            await reads.run(prepare, read_db)
            await reads.run(read_db.pragma, "query_only", True)
        except apsw.Error as error:
            raise _unusable(path, error) from error
        yield EventLog(writer, reader, writes, reads, clock)


@asynccontextmanager
async def open_sound(path: str, index: Indexer, clock: Clock) -> AsyncIterator[tuple[EventLog, Soundness]]:
    """`open_log` for a daemon: what was decided on is finished before, what is damaged is repaired, and damage that is met while
    the log is in use is remembered for the next opening.

    Error handling: also StorageFull and StoreError for a repair that is not possible.
    """
    with trio.CancelScope(shield=True):
        soundness = await trio.to_thread.run_sync(make_sound, path, index, clock.now())
    async with open_log(path, index, clock) as log:
        try:
            yield log, soundness
        finally:
            if log.damage:
                files.mark_damaged(path, log.damage)


@asynccontextmanager
async def _connection(path: str, name: str) -> AsyncIterator[tuple[apsw.Connection, Worker]]:
    worker = Worker(name)
    try:
        db = await _opened(worker, path)
        try:
            yield db, worker
        finally:
            await worker.run(db.close)
    finally:
        worker.close()


async def _opened(worker: Worker, path: str) -> apsw.Connection:
    try:
        return await worker.run(apsw.Connection, path)
    except apsw.Error as error:
        raise _unusable(path, error) from error


def _unusable(path: str, error: apsw.Error) -> StoreError:
    match error:
        case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError():
            advice = "Check the permissions of the file and its directory."
        case apsw.FullError() | apsw.IOError():
            advice = "Is there space left on the disk?"
        case apsw.BusyError():
            advice = "Another program holds it locked."
        case _:
            advice = "Move the file away to begin anew, or restore a backup."
    return StoreError(f"cannot open {path}: {error}. {advice}")


def open_inline(index: Indexer, clock: Clock, path: str = ":memory:") -> EventLog:
    """A log whose commits run in the caller's thread: for tests on a virtual clock, which must not see a thread."""
    database = Database(connect(path), path, index)
    database.migrate()
    inline = Inline()
    return EventLog(database, Reader(database.db, path), inline, inline, clock)
