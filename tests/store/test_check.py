"""A check finds everything that is wrong, and nothing in a log that is sound."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from agentd.core.index import index_change
from agentd.store import check as checks
from agentd.store import history
from agentd.store.transaction import opened
from tests.store.damage import flip, lived, problems


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = lived(tmp_path / "agentd.db")
    log.database.db.pragma("wal_checkpoint", "TRUNCATE")
    return log.leave(tmp_path / "left")


def change(path: Path, statement: str) -> None:
    with opened(str(path)) as db:
        db.execute(statement)


def test_a_sound_log_has_no_problems(path: Path) -> None:
    """With blobs, drafts, a deleted session, and an open turn in it."""
    assert problems(path) == []


@pytest.mark.parametrize(
    ("statement", "expected", "derived"),
    [
        ("DELETE FROM event WHERE stream = 1 AND seq = 3", "1 of its", False),
        ("UPDATE event SET stream = 77 WHERE stream = 1", "no name", False),
        ("UPDATE event SET at = at + 1 WHERE pos = 5", "not what was written", False),
        ("UPDATE event SET data = x'7b7d' WHERE pos = 5", "not what was written", False),
        ("UPDATE event SET data = 5 WHERE pos = 5", "not what was written", False),
        ("UPDATE stream SET user = 'bob' WHERE id = 1", "not what was written", False),
        ("DELETE FROM blob", "is missing", False),
        ("UPDATE blob SET data = x'0102' WHERE id = 1", "its content is damaged", False),
        ("UPDATE session SET title = 'wrong'", "(title)", True),
        ("UPDATE session SET id = 'nobody' WHERE id LIKE 'a%'", "(missing)", True),
        ("UPDATE usage SET output = 7 WHERE session <> ''", "the sums of its requests", True),
        ("DELETE FROM blob_reference", "reference to blob", True),
        ("INSERT INTO blob_reference VALUES (99, 99)", "leads nowhere", True),
    ],
)
def test_what_is_wrong_is_named(path: Path, statement: str, expected: str, *, derived: bool) -> None:
    """In a line each; and whether it can be made anew from the events."""
    change(path, statement)
    with opened(str(path)) as db:
        found = checks.check(db, index_change, full=True)
    assert any(expected in problem.text for problem in found), found
    assert derived == all(problem.stream for problem in found)


def test_truth_is_about_events_alone(path: Path) -> None:
    """What is derived can be wrong in a copy that is as good as any."""
    change(path, "UPDATE session SET title = 'wrong'")
    with opened(str(path)) as db:
        assert checks.truth(db) == []
    change(path, "UPDATE event SET version = 2 WHERE pos = 5")
    with opened(str(path)) as db:
        (problem,) = checks.truth(db)
    assert problem.text.endswith(": event 5: it is not what was written")


def test_a_broken_page_is_a_problem_and_no_exception(path: Path) -> None:
    """Wherever SQLite stumbles."""
    for page in range(path.stat().st_size // 4096):
        flip(path, [page * 4096 + place for place in range(3, 12)])
        with opened(str(path)) as db:
            try:
                found = checks.check(db, index_change, full=True) + checks.truth(db)
            except apsw.SQLError:  # the first page: the file says that it is of another format
                found = [checks.Problem("header")]
        flip(path, [page * 4096 + place for place in range(3, 12)])
        assert found or page in (0, 1), f"page {page}"


def test_a_blob_that_is_known_to_be_lost_is_no_problem_any_more(path: Path) -> None:
    """It was told when it was lost."""
    with opened(str(path)) as db:
        lost = [sha256 for (sha256,) in db.execute("SELECT sha256 FROM blob")]
        db.execute("DELETE FROM blob")
        db.execute("DELETE FROM blob_reference")
        assert any("is missing" in text for text in problems(path))
        history.record(db, 1.0, f"lost blobs: {' '.join(lost)}", history.OVER)
    assert problems(path) == []
