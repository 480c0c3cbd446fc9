"""A sound log in the place of a damaged one: the newest backup that holds, and all that can still be proven of what came later.

Theory of operation: the new file is made aside while the damaged one stays where it is, in one transaction; only when it has been
checked does it take the place (files.py). A repair that is killed has changed nothing, or is finished by the next opening.
"""

from __future__ import annotations

import os

import apsw
import structlog

from agentd.ports import Indexer
from agentd.store import files, history
from agentd.store.check import check, truth
from agentd.store.migrations import is_ours, refuse_newer, upgrade
from agentd.store.repair.hearsay import Hearsay, Line, line_of, listen
from agentd.store.repair.merge import Merge
from agentd.store.repair.pages import Pages
from agentd.store.repair.salvage import Salvage
from agentd.store.transaction import opened, transaction
from agentwire.errors import ConfigError, StorageFull, StoreError

log = structlog.get_logger()


def repair(path: str, index: Indexer, now: float, reason: str) -> str:
    """Returns what was restored and what is missing. Nobody may have the log open.

    Error handling: StoreError or StorageFull, and nothing is changed.
    """
    part = files.part_of(path)
    label = files.label_for(path, "corrupt", now)
    heard = listen(path) if os.path.exists(path) else Hearsay()
    try:
        base = _begin(path, part, heard, now)
        text = _fill(path, part, heard, index, now, _opening_words(path, reason, base), f"{path}.{label}")
    except apsw.FullError as error:
        raise StorageFull(f"{path} is damaged ({reason}), and there is no space to repair it; free some") from error
    except apsw.Error as error:
        raise StoreError(f"{path} is damaged ({reason}) and cannot be repaired: {error}; try `agentctl store restore`") from error
    files.stage(path, label)
    files.settle(path)
    log.critical("store_repaired", message=text)
    return text


def _begin(path: str, part: str, heard: Hearsay, now: float) -> str | None:
    """A sound file at `part`: a copy of the best backup, whose name is returned, or a new log."""
    for backup in _by_merit(path, heard, now):
        files.remove(part)
        try:
            copy(backup, part)
        except (apsw.Error, StoreError, ConfigError) as error:
            log.warning("backup_unusable", path=backup, reason=str(error))
        else:
            return backup
    files.remove(part)
    with opened(part) as db:
        db.pragma("auto_vacuum", "incremental")
        upgrade(db)
    return None


def _by_merit(path: str, heard: Hearsay, now: float) -> list[str]:
    """The newest first, but those of another line than the damaged file behind all that are of its own."""
    return sorted(files.backups(path, now), key=lambda backup: _line(backup) != heard.line)


def _line(path: str) -> Line:
    with opened(path) as db:
        return line_of(db)


def copy(source: str, part: str) -> None:
    """A copy of a backup, of today's schema, that holds what it promises.

    Error handling: ConfigError for one of a newer schema, StoreError or apsw.Error for one that is not sound.
    """
    with opened(source) as db:
        refuse_newer(db, source)
        if not db.pragma("user_version") or not is_ours(db):
            raise StoreError(f"{source} is not a backup of agentd's")
        if not db.pragma("auto_vacuum"):  # said twice it would be written into the backup
            db.pragma("auto_vacuum", "incremental")
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        db.execute("VACUUM INTO ?", (part,))
    with opened(part) as db:
        upgrade(db)
        if problems := truth(db):
            raise StoreError(f"{source} is damaged: {problems[0].text}")


def _fill(path: str, part: str, heard: Hearsay, index: Indexer, now: float, opening: str, kept: str) -> str:
    with Pages(path) as pages, opened(part) as db, transaction(db):
        owners = {number: (name, user) for number, name, user in db.execute("SELECT id, name, user FROM stream")}
        users = dict(db.execute("SELECT id, user FROM session")) | heard.sessions
        merge = Merge(db, index, Salvage(pages, db, owners, users), heard)
        merge.run(now)
        text = f"{opening} {merge.account()} The damaged file is kept as {kept}."
        history.record(db, now, text)
    with opened(part) as db:
        if problems := check(db, index):
            raise StoreError(f"{path} is damaged, and its repair failed: {problems[0].text}; try `agentctl store restore`")
    return text


def _opening_words(path: str, reason: str, base: str | None) -> str:
    source = (
        f"It was restored from the backup of {files.readable(files.time_of(base))}" if base else "There was no backup to restore"
    )
    return f"{path} was damaged ({reason}). {source};"
