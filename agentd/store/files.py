"""The files beside the log: what they are called, and how one takes the place of another.

agentd.db                          the log (with -wal and -shm while it is open)
agentd.db.part                     being made: of no use if its maker was killed
agentd.db.next.<label>             decided on: it takes the log's place at the next opening, whatever happens
agentd.db.<label>                  what was in that place before; `label` is corrupt-<time> or before-restore-<time>
agentd.db.damaged                  the daemon met damage: the next opening looks at everything
backups/agentd-<time>.db           verified copies
"""

from __future__ import annotations

import datetime as dt
import glob
import os
import re
from contextlib import suppress

_SIDES = ("-journal", "-shm", "-wal", "")
"""A log's files in the order in which they are moved away: its own name last, for without it there is no log to continue."""
_NAME = re.compile(r"agentd-(\d{8}T\d{6}Z)\.db")
_FORMAT = "%Y%m%dT%H%M%SZ"


def stamp(at: float) -> str:
    """A time (seconds since the epoch) as it stands in names."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime(_FORMAT)


def readable(at: float) -> str:
    """A time for people."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def part_of(path: str) -> str:
    return f"{path}.part"


def damaged_mark(path: str) -> str:
    return f"{path}.damaged"


def mark_damaged(path: str, reason: str) -> None:
    with open(damaged_mark(path), "w", encoding="utf-8") as mark:
        mark.write(reason)


def backups_of(path: str) -> str:
    """The folder of its backups."""
    return os.path.join(os.path.dirname(path), "backups")


def backup_name(path: str, at: float) -> str:
    return os.path.join(backups_of(path), f"agentd-{stamp(at)}.db")


def time_of(backup: str) -> float:
    """When a backup was made, by its name; else when the file was changed."""
    if match := _NAME.fullmatch(os.path.basename(backup)):
        return dt.datetime.strptime(match[1], _FORMAT).replace(tzinfo=dt.UTC).timestamp()
    return os.stat(backup).st_mtime


def backups(path: str, now: float) -> list[str]:
    """The backups of the log at `path`, newest first. One from the future was made under another clock: it comes last."""
    with suppress(FileNotFoundError):
        found = [entry.path for entry in os.scandir(backups_of(path)) if _NAME.fullmatch(entry.name)]
        return sorted(found, key=lambda each: (time_of(each) <= now, time_of(each)), reverse=True)
    return []


def remove(path: str) -> None:
    """A log and what SQLite keeps beside it, as far as they are there."""
    for side in _SIDES:
        with suppress(FileNotFoundError):
            os.unlink(path + side)


def sync(path: str) -> None:
    """A file, or the names in a folder, are on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def room(folder: str) -> int:
    """Bytes that can be written there."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def replace(source: str, target: str) -> None:
    """A whole file gets its name, and both are on the disk when this returns."""
    sync(source)
    os.rename(source, target)
    sync(os.path.dirname(target))


def label_for(path: str, word: str, at: float) -> str:
    """`word`-<time>, a name that nothing has yet."""
    while True:
        label = f"{word}-{stamp(at)}"
        if not any(os.path.exists(name) for name in (f"{path}.{label}", f"{path}.next.{label}")):
            return label
        at += 1


def stage(path: str, label: str) -> str:
    """Decide that the part made for `path` takes its place. Returns where what is there now will be kept."""
    replace(part_of(path), f"{path}.next.{label}")
    return f"{path}.{label}"


def unstage(path: str) -> None:
    """Take back what was decided on, if it is not in place yet."""
    for staged in _staged(path):
        os.unlink(staged)


def _staged(path: str) -> list[str]:
    return sorted(glob.glob(f"{glob.escape(path)}.next.*"))


def settle(path: str) -> None:
    """Put in place what was decided on. Killed at any moment, the next call goes on; nobody may have the log open."""
    for staged in _staged(path):
        kept = f"{path}.{staged.removeprefix(f'{path}.next.')}"
        for side in _SIDES:
            with suppress(FileNotFoundError):
                os.rename(path + side, kept + side)
        sync(os.path.dirname(path))
        replace(staged, path)
