"""A backup is checked before anything happens, and the log of today is never lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentd.core.index import index_change
from agentd.store import files
from agentd.store.keeping.restoring import prepare
from agentd.store.repair.sound import make_sound
from agentd.store.transaction import opened
from agentwire.errors import ConfigError, InvalidParams, NotFound
from tests.store.damage import NOW, Log, lived, problems, truth

LATER = NOW + 5000


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return lived(tmp_path / "agentd.db")


def test_the_newest_backup_takes_the_place_at_the_next_opening(log: Log, tmp_path: Path) -> None:
    """Until then everything goes on; what was there is kept, and it is told what happened."""
    path = log.leave(tmp_path / "left")
    before = truth(log.path)
    restored = prepare(str(path), "", LATER)
    assert [restored.source] == files.backups(str(path), LATER) and not os.path.exists(restored.kept)
    assert truth(path) == before
    soundness = make_sound(str(path), index_change, LATER + 10)
    assert truth(path) == truth(restored.source) and problems(path) == [] and truth(restored.kept) == before
    assert soundness.notices == (f"The store was restored from {restored.source}; what it was before is kept as {restored.kept}.",)
    assert soundness.fresh


def test_a_backup_is_not_changed_by_being_restored(log: Log, tmp_path: Path) -> None:
    """It can be restored again."""
    path = log.leave(tmp_path / "left")
    backup = Path(files.backups(str(path), LATER)[0])
    before = backup.read_bytes()
    prepare(str(path), str(backup), LATER)
    files.settle(str(path))
    assert backup.read_bytes() == before


def test_two_restores_before_the_next_opening_keep_both(log: Log, tmp_path: Path) -> None:
    """The later word counts."""
    path = log.leave(tmp_path / "left")
    other = Log(tmp_path / "other.db")
    other.append("user:ann")
    first, second = prepare(str(path), "", LATER), prepare(str(path), other.backup(), LATER)
    files.settle(str(path))
    assert truth(path) == {} and truth(second.kept) == truth(first.source) and truth(first.kept) == truth(log.path)


def test_what_is_no_backup_changes_nothing(log: Log, tmp_path: Path) -> None:
    """No file, no backups, noise, a damaged backup, one of a newer release."""
    path = log.leave(tmp_path / "left")
    backup = files.backups(str(path), LATER)[0]
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    damaged, newer = tmp_path / "damaged.db", tmp_path / "newer.db"
    for each in (damaged, newer):
        each.write_bytes(Path(backup).read_bytes())
    with opened(str(damaged)) as db:
        db.execute("UPDATE event SET at = 1")
    with opened(str(newer)) as db:
        db.pragma("user_version", 99)
    for source, error in (("noise", InvalidParams), ("damaged.db", InvalidParams), ("newer.db", ConfigError), ("none", NotFound)):
        with pytest.raises(error):
            prepare(str(path), str(tmp_path / source), LATER)
    with pytest.raises(NotFound, match="there is no backup in"):
        prepare(str(tmp_path / "elsewhere/agentd.db"), "", LATER)
    assert not list(path.parent.glob("agentd.db.next*")) and not os.path.exists(files.part_of(str(path)))
