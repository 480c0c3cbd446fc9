"""A backup in the place of the log, on somebody's word: made ready at once, in that place when the log is opened next."""

from __future__ import annotations

import os

import apsw
from attrs import frozen

from agentd.store import files, history
from agentd.store.transaction import opened, transaction
from agentwire.errors import InvalidParams, NotFound, StorageFull, StoreError


@frozen
class Restored:
    """`kept`: where what is there now will be."""

    source: str
    kept: str


def choose(path: str, source: str, now: float) -> str:
    """`source`, or the newest backup of the log at `path`. Raises NotFound."""
    if source and not os.path.isfile(source):
        raise NotFound(f"there is no file {source}")
    backups = files.backups(path, now)
    if not source and not backups:
        raise NotFound(f"there is no backup in {files.backups_of(path)}; name a file")
    return source or backups[0]


def prepare(path: str, source: str, now: float) -> Restored:
    """Check a backup and decide that it takes the log's place (`files.settle` puts it there). Empty `source`: the newest.

    Error handling: NotFound; ConfigError for a newer schema; InvalidParams for what is no sound backup; StorageFull. Nothing has
    happened then.
    """
    from agentd.store.repair.repair import copy  # nobody needs it but for this

    source = choose(path, source, now)
    part = files.part_of(path)
    files.remove(part)
    label = files.label_for(path, "before-restore", now)
    try:
        copy(source, part)
        _tell(part, now, f"The store was restored from {source}; what it was before is kept as {path}.{label}.")
    except (apsw.FullError, apsw.IOError) as error:
        raise StorageFull(f"there is no space to restore {source}: {error}") from error
    except (StoreError, apsw.Error) as error:
        raise InvalidParams(f"{source} cannot be restored: {error}") from error
    else:
        return Restored(source, files.stage(path, label))
    finally:
        files.remove(part)


def _tell(part: str, now: float, text: str) -> None:
    with opened(part) as db, transaction(db):
        history.record(db, now, text)
