"""The keeper's pieces of work, each a function for a worker thread; `stop` ends those that take long."""

from __future__ import annotations

import os
from threading import Event

import apsw

from agentd.ports import Indexer
from agentd.store import erasing, files
from agentd.store.check import Problem
from agentd.store.check import check as look
from agentd.store.keeping import backup as copies
from agentwire.errors import NotFound
from agentwire.types import BackupInfo, StoreInfo

_SPARE = 16 * 1024 * 1024
"""Bytes that giving back space may need for a while, for pages that move."""


def info(stop: Event, path: str, now: float, full: bool) -> StoreInfo:  # noqa: FBT001 - called by position through a thread
    with copies.reading(path, stop) as db:
        blobs, blob_bytes = db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM blob").get
        return StoreInfo(
            path=path,
            schema=db.pragma("user_version"),
            bytes=os.path.getsize(path),
            wal_bytes=_size(f"{path}-wal"),
            reclaimable=db.pragma("freelist_count") * db.pragma("page_size"),
            disk_free=files.room(os.path.dirname(path)),
            full=full,
            events=db.execute("SELECT count(*) FROM event").get,
            sessions=db.execute("SELECT count(*) FROM session").get,
            blobs=blobs,
            blob_bytes=blob_bytes,
            backups=tuple(describe(found) for found in files.backups(path, now)),
        )


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def describe(path: str) -> BackupInfo:
    return BackupInfo(path=path, at=files.time_of(path), bytes=os.path.getsize(path))


def problems(stop: Event, path: str, index: Indexer, full: bool) -> list[Problem]:  # noqa: FBT001 - the same
    """Of one state of the log, while commits go on."""
    with copies.reading(path, stop) as db:
        db.execute("BEGIN")
        return look(db, index, full=full)


def erase(stop: Event, path: str, now: float) -> int:
    """What was deleted in the log goes from its backups, too. Returns how many sessions that were."""
    backups = files.backups(path, now)
    if not backups:
        return 0
    with copies.reading(path, stop) as db:
        deleted = erasing.deleted_sessions(db)
    return sum(erasing.erase_from_backup(found, deleted) for found in backups) if deleted else 0


def outdated(stop: Event, path: str, now: float) -> bool:
    """Whether anything was committed since the newest backup."""
    backups = files.backups(path, now)
    return not backups or copies.outdated(stop, path, backups[0])


def backup(stop: Event, path: str, target: str, now: float, keep: int) -> str:
    """A backup at `target`, in it if it is a folder, or beside the others if it is empty."""
    if not target:
        return copies.daily(stop, path, now, keep)
    if os.path.isdir(target):
        target = os.path.join(target, os.path.basename(files.backup_name(path, now)))
    if not os.path.isdir(os.path.dirname(target)):
        raise NotFound(f"there is no folder {os.path.dirname(target)}")
    copies.take(stop, path, target)
    return target


def space(stop: Event, path: str) -> tuple[int, int, bool]:
    """Bytes of the log; bytes that must be free for a vacuum; whether it must be written anew for that."""
    with copies.reading(path, stop) as db:
        size = db.pragma("page_count") * db.pragma("page_size")
        old = not db.pragma("auto_vacuum")
    return size, 2 * size + _SPARE if old else _SPARE, old


def give_back(db: apsw.Connection, pages: int) -> int:
    """Up to so many free pages go from the end of the file. Returns how many are left."""
    db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return int(db.pragma("freelist_count"))


def rewrite(db: apsw.Connection) -> None:
    """The whole file anew, so that from now on it can give back space in steps."""
    db.pragma("auto_vacuum", "incremental")
    db.execute("VACUUM")
