"""The files beside the log: names that tell the time, and one file in the place of another whatever happens in between."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from agentd.store import files

AT = 1_800_000_000.0


def touch(path: Path, content: str = "x") -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return str(path)


def test_a_backups_name_tells_when_it_was_made(tmp_path: Path) -> None:
    """To the second, in every time zone; another file's time is that of its last change."""
    name = files.backup_name(str(tmp_path / "agentd.db"), AT)
    assert name == f"{tmp_path}/backups/agentd-20270115T080000Z.db" and files.time_of(name) == AT
    other = touch(tmp_path / "copy.db")
    os.utime(other, (5.0, 5.0))
    assert files.time_of(other) == 5.0 and files.readable(AT) == "2027-01-15 08:00 UTC"


def test_backups_come_newest_first_and_those_of_the_future_last(tmp_path: Path) -> None:
    """Under a clock that was wrong a backup got a time that is still to come: it says nothing of its age."""
    path = str(tmp_path / "agentd.db")
    assert files.backups(path, AT) == []
    made = [touch(Path(files.backup_name(path, at))) for at in (AT + 1e6, AT - 50, AT - 10)]
    touch(tmp_path / "backups/agentd-20270115T080000Z.db.part")
    touch(tmp_path / "backups/notes.txt")
    assert files.backups(path, AT) == [made[2], made[1], made[0]]


def moved(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize("moves", range(6))
def test_a_file_takes_the_place_however_often_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """Killed before any of its renames, the next opening goes on: the new log is in place, the old one kept with its sides."""
    path = touch(tmp_path / "agentd.db", "old")
    touch(tmp_path / "agentd.db-wal", "wal")
    touch(tmp_path / "agentd.db-shm", "shm")
    touch(Path(files.part_of(path)), "new")
    label = files.label_for(path, "corrupt", AT)
    rename, left = os.rename, moves

    def killed(source: str, target: str) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        rename(source, target)

    monkeypatch.setattr(os, "rename", killed)
    with suppress(KeyboardInterrupt):
        files.stage(path, label)
        files.settle(path)
    monkeypatch.setattr(os, "rename", rename)
    if moves == 0:  # before the decision
        assert moved(tmp_path)["agentd.db"] == "old" and moved(tmp_path)["agentd.db.part"] == "new"
        return
    files.settle(path)
    files.settle(path)
    assert moved(tmp_path) == {"agentd.db": "new", **{f"agentd.db.{label}{side}": was for side, was in SIDES.items()}}


SIDES = {"": "old", "-wal": "wal", "-shm": "shm"}


def test_a_decision_can_be_taken_back(tmp_path: Path) -> None:
    """Nothing is left of it."""
    path = touch(tmp_path / "agentd.db", "old")
    touch(Path(files.part_of(path)), "new")
    files.stage(path, "before-restore-1")
    files.unstage(path)
    files.settle(path)
    assert moved(tmp_path) == {"agentd.db": "old"}


def test_no_label_is_given_twice(tmp_path: Path) -> None:
    """Two repairs in one second keep both files."""
    path = touch(tmp_path / "agentd.db")
    first = files.label_for(path, "corrupt", AT)
    touch(tmp_path / f"agentd.db.{first}")
    assert first == "corrupt-20270115T080000Z" and files.label_for(path, "corrupt", AT) == "corrupt-20270115T080001Z"


def test_a_log_goes_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    """Also when parts of it are missing."""
    path = touch(tmp_path / "agentd.db")
    touch(tmp_path / "agentd.db-journal")
    touch(tmp_path / "agentd.db.damaged")
    files.remove(path)
    assert list(moved(tmp_path)) == ["agentd.db.damaged"]


def test_the_mark_says_what_is_wrong(tmp_path: Path) -> None:
    """It is a text for people; that it is there is what counts."""
    path = str(tmp_path / "agentd.db")
    files.mark_damaged(path, "a page is gone")
    assert Path(files.damaged_mark(path)).read_text() == "a page is gone" and files.room(str(tmp_path)) > 0
