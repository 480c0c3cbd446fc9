"""What a damaged log still says: as much as can be read, and never a value of a wrong kind."""

from __future__ import annotations

from pathlib import Path

from agentd.store.repair.hearsay import Hearsay, listen
from agentd.store.transaction import opened
from tests.store.damage import flip, lived


def test_a_whole_log_says_everything(tmp_path: Path) -> None:
    """Sessions, how far each stream goes, drafts; the file is not changed by asking."""
    path = lived(tmp_path / "agentd.db").leave(tmp_path / "left")
    before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    heard = listen(str(path))
    assert heard.sessions == dict.fromkeys(("a" * 32, "b" * 32, "d" * 32), "ann") and heard.titles["d" * 32] == "later"
    assert heard.heads == {"a" * 32: 37, "b" * 32: 9, "d" * 32: 31, "user:ann": 1}
    assert heard.erased == [("ann", 20833, "fake/model", 1, 1, 0, 2, 0, 0, 1, 0)]
    assert [data for _, data in heard.drafts] == [b'[20,0,[[0,"text","","half a repl"]]]']
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == before


def test_what_cannot_be_asked_says_nothing(tmp_path: Path) -> None:
    """No file, no database, or one of another kind."""
    (tmp_path / "noise").write_bytes(b"noise" * 2000)
    with opened(str(tmp_path / "other")) as db:
        db.execute("CREATE TABLE session (id); INSERT INTO session VALUES (5)")
    for name in ("missing", "noise", "other"):
        assert listen(str(tmp_path / name)) == Hearsay()


def test_values_of_a_wrong_kind_are_passed_over(tmp_path: Path) -> None:
    """And rows behind a broken page are not there; those before it are."""
    log = lived(tmp_path / "agentd.db")
    log.database.db.execute("UPDATE session SET title = x'05' WHERE id LIKE 'a%'")
    log.database.db.execute("UPDATE draft SET data = 'text'")
    log.database.db.pragma("wal_checkpoint", "TRUNCATE")
    path = log.leave(tmp_path / "left")
    heard = listen(str(path))
    assert set(heard.sessions) == {"b" * 32, "d" * 32} and heard.drafts == []
    flip(path, range(4096, path.stat().st_size, 50))
    assert listen(str(path)).heads == {}
