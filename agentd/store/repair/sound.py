"""Before the log is opened: finish what was decided on, and if the last daemon did not end in good order, see whether all is well.

What is small is looked at whole; of a larger file SQLite's quick check is made, of a very large one nothing: the rest is left to a
task beside the daemon (keeping/keeper.py).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

import apsw
import structlog
from attrs import evolve, frozen

from agentd.ports import Indexer
from agentd.store import files, history
from agentd.store.check import Problem, check, structure
from agentd.store.derived import rebuild
from agentd.store.migrations import STEPS, has_table, is_ours, upgrade
from agentd.store.repair.hearsay import line_of
from agentd.store.repair.pages import Wal, read_wal
from agentd.store.transaction import opened, transaction

log = structlog.get_logger()

_WHOLE = 8 * 1024 * 1024
"""Bytes of a file that is checked whole before it is opened: 0.13 s. After a clean end nothing is: 1 ms."""
_QUICK = 200 * 1024 * 1024
"""Bytes from which even SQLite's quick check is made in the background (promises.md)."""
_OTHERS_FAULT = (
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
    apsw.BusyError,
    apsw.FullError,
    apsw.IOError,
    apsw.NoMemError,
)
"""The file may be whole: whoever opens it will say what is wrong."""
_LONG_WAL = 8 * 1024 * 1024
"""Bytes of a write-ahead log whose checksums are not worth the wait: 3 s."""


@frozen
class Soundness:
    """`notices`: what befell the file and is still to be told. `fresh`: some of it is new. `unchecked`: not all was looked at."""

    notices: tuple[str, ...] = ()
    fresh: bool = False
    unchecked: bool = False


def make_sound(path: str, index: Indexer, now: float) -> Soundness:
    """A log at `path` that can be opened, or none if there was none.

    Resource handling: nobody may have it open. Blocks: for a worker thread.
    Error handling: StoreError, StorageFull if it is damaged and cannot be repaired. What keeps it from being opened at all is left
    to whoever opens it.
    """
    files.settle(path)
    files.remove(files.part_of(path))
    if not _present(path, now):
        _begin_anew(path, now)
        return _notices(path, clean=False)
    marked = os.path.exists(files.damaged_mark(path))
    wal = _wal(path)
    if reason := _emptied(path) or _torn(wal, path, now):
        _repair(path, index, now, reason)
        clean, unchecked = False, False
    else:
        clean, unchecked = _examine(path, index, now, marked=marked, doubt=_doubt(wal))
    if marked:
        os.unlink(files.damaged_mark(path))
    return evolve(_notices(path, clean=clean), unchecked=unchecked)


def _present(path: str, now: float) -> bool:
    """An empty file is a log that was never begun, unless there are backups of it."""
    if any(os.path.exists(name) and os.path.getsize(name) for name in (path, f"{path}-wal")):
        return True
    return os.path.exists(path) and bool(files.backups(path, now))


def _begin_anew(path: str, now: float) -> None:
    """There is no log. If there are backups, somebody may wonder where it went."""
    if backups := files.backups(path, now):
        with opened(path) as db:
            db.pragma("auto_vacuum", "incremental")
            upgrade(db)
            with transaction(db):
                advice = f"`agentctl store restore` brings back the newest of its {len(backups)} backups"
                history.record(db, now, f"There was no {path}: a new one was begun. {advice}.")


def _emptied(path: str) -> str:
    if not os.path.exists(path):
        return "it is gone, but not its write-ahead log"
    return "it is empty" if os.path.getsize(path) == 0 else ""


def _wal(path: str) -> Wal | None:
    """The write-ahead log; None if there is none."""
    try:
        with open(f"{path}-wal", "rb") as file:
            return read_wal(file.read() if os.fstat(file.fileno()).st_size <= _LONG_WAL else b"")
    except FileNotFoundError:
        return None


def _torn(wal: Wal | None, path: str, now: float) -> str:
    """SQLite reads a write-ahead log as far as it is whole, and says no word of what comes behind.

    After a loss of power that is as it should be: what nobody had synced, the drafts behind the last event, may be there in parts.
    """
    lost = wal.lost_commits if wal else 0
    if lost and os.path.getmtime(f"{path}-wal") < now - time.clock_gettime(time.CLOCK_BOOTTIME):
        return ""
    return f"its write-ahead log is broken before its last {lost} commits" if lost > 1 else ""


def _doubt(wal: Wal | None) -> str:
    if wal is None:
        return "gone"
    return "" if wal.readable else "not readable"


def _examine(path: str, index: Indexer, now: float, *, marked: bool, doubt: str) -> tuple[bool, bool]:
    """Whether the last daemon ended in good order, and whether there is more to check. Repairs what is damaged."""
    size = os.path.getsize(path)
    try:
        with opened(path) as db:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # of a damaged file nothing is touched
            if db.pragma("user_version") > len(STEPS) and is_ours(db):  # of a newer release: who opens it refuses
                return True, False
            if not marked and db.execute("SELECT 1 FROM sqlite_schema").get is None and not files.backups(path, now):
                return True, False  # its first start was cut off before there was anything in it
            clean = _ended_well(db, path) and not marked
            problems = [] if clean else [*_foreign(db, path), *_behind(db, path, now)] or _checked(db, index, size, marked=marked)
            if problems and all(problem.stream for problem in problems):
                problems = _rebuilt(db, index, problems)
            if not clean and not problems:
                _note_lost_wal(db, path, now, doubt)
    except (apsw.Error, UnicodeDecodeError) as error:
        if isinstance(error, _OTHERS_FAULT) and not _too_short(error):
            return True, False
        clean, problems = False, [Problem(str(error))]
    if problems:
        _repair(path, index, now, problems[0].text)
    return clean, not clean and not problems and not marked and size > _WHOLE


def _repair(path: str, index: Indexer, now: float, reason: str) -> None:
    from agentd.store.repair.repair import repair  # nobody needs it where nothing is damaged

    repair(path, index, now, reason)


def _too_short(error: Exception) -> bool:
    """A page ends with the file: it was cut off."""
    return getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHORT_READ


def _ended_well(db: apsw.Connection, path: str) -> bool:
    if db.pragma("user_version") != len(STEPS) and not is_ours(db):
        return False
    with suppress(FileNotFoundError):
        if os.path.getsize(f"{path}-wal"):
            return False
    return not has_table(db, "boot") or db.execute("SELECT 1 FROM boot WHERE ended_at IS NULL").get is None


def _foreign(db: apsw.Connection, path: str) -> list[Problem]:
    """Damage of the header that SQLite takes for what it says."""
    if not is_ours(db):
        return [Problem("its tables are not those of its version")]
    if db.readonly("main") and os.access(path, os.W_OK):
        return [Problem("its header forbids to write")]
    return []


def _behind(db: apsw.Connection, path: str, now: float) -> list[Problem]:
    """A backup of the same line cannot have what the log has not."""
    ours, last = line_of(db), db.execute("SELECT max(pos) FROM event").get or 0
    for backup in files.backups(path, now):
        try:
            with opened(backup) as other:
                if line_of(other) == ours:
                    theirs = other.execute("SELECT max(pos) FROM event").get or 0
                    return (
                        [Problem(f"it ends before its backup of {files.readable(files.time_of(backup))}")] if theirs > last else []
                    )
        except apsw.Error as error:
            log.warning("backup_unusable", path=backup, reason=str(error))
    return []


def _checked(db: apsw.Connection, index: Indexer, size: int, *, marked: bool) -> list[Problem]:
    if db.pragma("user_version") == len(STEPS) and (marked or size <= _WHOLE):
        return check(db, index, full=True)
    return structure(db) if size <= _QUICK else []


def _rebuilt(db: apsw.Connection, index: Indexer, problems: list[Problem]) -> list[Problem]:
    """Derived rows are made anew: nothing is lost, and nobody has to know but the log."""
    for problem in problems:
        log.warning("derived_rows_rebuilt", reason=problem.text)
    with transaction(db):
        rebuild(db, index, {problem.stream for problem in problems})
    return check(db, index, full=True)


def _note_lost_wal(db: apsw.Connection, path: str, now: float, doubt: str) -> None:
    """A daemon that was killed leaves its write-ahead log; without it, whatever was not in the file yet is gone."""
    if not doubt or not has_table(db, "history"):
        return
    last = db.execute("SELECT max(started_at) FROM boot WHERE ended_at IS NULL").get
    if last is None or last < (db.execute("SELECT max(at) FROM history").get or 0.0):
        return
    newest = db.execute("SELECT max(at) FROM event").get
    until = f"The newest event is of {files.readable(newest)}." if newest else "It has no events."
    with transaction(db):
        history.record(db, now, f"The write-ahead log of {path} is {doubt}: what was written last may be missing. {until}")


def _notices(path: str, *, clean: bool) -> Soundness:
    """What is told is told until a daemon has ended well after it."""
    if not os.path.exists(path):
        return Soundness()
    try:
        with opened(path) as db:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            notices, fresh = history.told(db) if has_table(db, "history") else ([], False)
            if notices and clean and history.ended_since(db):
                with transaction(db):
                    history.settle(db, clean=True)
                return Soundness()
    except apsw.Error:
        return Soundness()
    return Soundness(tuple(notices), fresh=fresh)
