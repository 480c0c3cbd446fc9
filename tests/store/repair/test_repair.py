"""A repair puts a sound log in the place of a damaged one, or changes nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from agentd.core.index import index_change
from agentd.store import files
from agentd.store.repair.repair import copy, repair
from agentd.store.transaction import opened
from agentwire.errors import ConfigError, StorageFull, StoreError
from tests.store.damage import NOW, Log, flip, lived, prefixes, problems, truth

LATER = NOW + 5000


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return lived(tmp_path / "agentd.db")


@pytest.fixture
def left(log: Log, tmp_path: Path) -> Path:
    return log.leave(tmp_path / "left")


def test_the_damaged_file_is_kept_and_named(log: Log, left: Path) -> None:
    """With its sides, byte by byte; the account says why, from what, what came later, and where it is."""
    before = {side: Path(f"{left}{side}").read_bytes() for side in ("", "-wal")}
    text = repair(str(left), index_change, LATER, "a page is gone")
    kept = f"{left}.corrupt-{files.stamp(LATER)}"
    assert {side: Path(f"{kept}{side}").read_bytes() for side in before} == before
    assert text.startswith(
        f"{left} was damaged (a page is gone). It was restored from the backup of 2027-01-15 08:00 UTC; 61 events"
    )
    assert text.endswith(f"The damaged file is kept as {kept}.")
    assert truth(left) == truth(log.path) and problems(left) == []


def test_without_a_backup_everything_that_is_whole_is_read(log: Log, left: Path) -> None:
    """From nothing but the pages."""
    for backup in files.backups(str(left), LATER):
        os.unlink(backup)
    text = repair(str(left), index_change, LATER, "a page is gone")
    assert "There was no backup to restore; 78 events" in text and truth(left) == truth(log.path)


def test_the_newest_backup_that_holds_is_taken(log: Log, left: Path) -> None:
    """One that is damaged itself is passed over, with a word in the log."""
    older = files.backups(str(left), LATER)[0]
    for at, content in ((NOW + 1000, b"noise" * 5000), (NOW + 2000, Path(older).read_bytes())):
        Path(files.backup_name(str(left), at)).write_bytes(content)
    flip(Path(files.backup_name(str(left), NOW + 2000)), range(8192, 60000, 10))
    left.write_bytes(b"noise" * 5000)
    os.unlink(f"{left}-wal")
    text = repair(str(left), index_change, LATER, "noise")
    assert "backup of 2027-01-15 08:00" in text
    prefixes(truth(left), truth(log.path), truth(older))


def test_a_backup_of_its_own_line_comes_first(log: Log, left: Path) -> None:
    """After somebody has restored an older backup, a newer one has what was meant to be gone."""
    with opened(str(left)) as db:
        db.execute("INSERT INTO history (at, text, state) VALUES (1, 'restored', 0)")
    ours = Path(files.backups(str(left), LATER)[0])
    newer = Path(files.backup_name(str(left), NOW + 2000))
    newer.write_bytes(ours.read_bytes())
    with opened(str(ours)) as db:
        db.execute("INSERT INTO history (at, text, state) VALUES (1, 'restored', 0)")
    assert f"backup of {files.readable(files.time_of(str(ours)))}" in repair(str(left), index_change, LATER, "x")


@pytest.mark.parametrize("moves", range(7))
def test_killed_at_any_rename_it_is_finished_or_done_again(
    log: Log, left: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """The next opening has the same log; the damaged file is kept once."""
    rename, budget = os.rename, moves

    def killed(source: str, target: str) -> None:
        nonlocal budget
        if budget == 0:
            raise KeyboardInterrupt
        budget -= 1
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        with suppress(KeyboardInterrupt):
            repair(str(left), index_change, LATER, "x")
    files.settle(str(left))
    if moves == 0:
        repair(str(left), index_change, LATER, "x")
    assert truth(left) == truth(log.path) and problems(left) == []
    assert len([file for file in left.parent.iterdir() if file.name.startswith("agentd.db.corrupt-")]) == 3


def test_no_space_changes_nothing(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that the file is damaged and that space is what is missing."""
    before = left.read_bytes()

    def full(*_: object) -> None:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr("agentd.store.repair.repair.Merge.run", full)
    with pytest.raises(StorageFull, match="no space to repair"):
        repair(str(left), index_change, LATER, "x")
    assert left.read_bytes() == before and not list(left.parent.glob("*.corrupt-*"))


def test_a_repair_that_is_not_sound_is_not_used(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put in the place of a damaged file but what passes every check."""
    monkeypatch.setattr("agentd.store.repair.merge.rebuild", lambda *_: None)
    with pytest.raises(StoreError, match="its repair failed"):
        repair(str(left), index_change, LATER, "x")
    assert not list(left.parent.glob("*.corrupt-*"))


def test_a_copy_is_of_todays_schema_and_of_nothing_else(tmp_path: Path, left: Path) -> None:
    """What is not a backup, or of a newer release, is refused."""
    part = str(tmp_path / "part")
    copy(files.backups(str(left), LATER)[0], part)
    assert problems(part) == []
    with opened(str(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="not a backup of agentd's"):
        copy(str(tmp_path / "other.db"), str(tmp_path / "p2"))
    with opened(part) as db:
        db.pragma("user_version", 99)
    with pytest.raises(ConfigError, match="newer release"):
        copy(part, str(tmp_path / "p3"))
