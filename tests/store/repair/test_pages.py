"""Pages read without SQLite: the same rows that SQLite reads, and none that are not there."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest

from agentd.store.repair.pages import Pages, Row, read_wal
from tests.store.damage import flip, lived, truth
from tests.store.running import noise


def rows(path: Path) -> set[Row]:
    with Pages(str(path)) as pages:
        return {row for place in pages.places() for _, row in pages.rows(place)}


def table(path: Path, auto_vacuum: int = 0) -> apsw.Connection:
    """Rows of every kind of value, short and long, over several levels of the tree."""
    db = apsw.Connection(str(path))
    db.pragma("auto_vacuum", auto_vacuum)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")
    numbers = [0, 1, -1, 127, 128, -32768, 2**23 - 1, 2**31 - 1, -(2**47), 2**63 - 1, -(2**63)]
    values = [None, *numbers, 0.5, -1e300, "", "text", "日本", b"", b"\0\x0d", noise(3000), noise(4061), noise(9000).encode()]
    with db:
        for number in range(300):
            value = values[number % len(values)]
            db.execute("INSERT INTO t VALUES (?, ?, ?)", (number * 7 - 900, value, values[number % 7]))
    return db


@pytest.mark.parametrize("auto_vacuum", [0, 2])
def test_rows_are_those_that_sqlite_reads(tmp_path: Path, auto_vacuum: int) -> None:
    """Every kind of value, overflow chains, pages of several levels."""
    path = tmp_path / "t.db"
    db = table(path, auto_vacuum)
    expected = {Row(number, (None, a, b)) for number, a, b in db.execute("SELECT * FROM t")}
    db.close()
    assert rows(path) == expected


def test_the_write_ahead_log_is_read_as_far_as_it_is_committed(tmp_path: Path) -> None:
    """The file is empty but for what was checkpointed; what a transaction has not committed is not there."""
    path = tmp_path / "t.db"
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.pragma("cache_size", 1)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    for number in range(50):
        db.execute("INSERT INTO t VALUES (?, ?)", (number, noise(500, number)))
    before = rows(path)
    assert before == {Row(number, (None, noise(500, number))) for number in range(50)}
    with db:
        db.execute("DELETE FROM t")
        db.executemany("INSERT INTO t VALUES (?, ?)", [(number, noise(500)) for number in range(100, 300)])
        assert rows(path) == before and len(read_wal(Path(f"{path}-wal").read_bytes()).committed) < 20
    assert len(rows(path)) == 200
    db.close()


def test_a_broken_write_ahead_log_says_how_much_is_behind_the_break(tmp_path: Path) -> None:
    """SQLite reads nothing behind it; here the frames are found, and the commits among them counted."""
    log = lived(tmp_path / "agentd.db")
    for number in range(8, 11):
        log.turn("d" * 32, number, "more")
    path = log.leave(tmp_path / "left")
    wal = Path(f"{path}-wal")
    whole = read_wal(wal.read_bytes())
    assert whole.readable and not whole.beyond and not whole.lost_commits
    flip(wal, [32 + 15 * (24 + 4096) + 100])
    broken = read_wal(wal.read_bytes())
    assert broken.readable and broken.lost_commits > 2 and len(broken.beyond) > 10
    flip(wal, range(32))
    headless = read_wal(wal.read_bytes())
    assert not headless.readable and headless.lost_commits > broken.lost_commits and not headless.committed


@pytest.mark.parametrize("content", [b"", b"short", bytes(5000)])
def test_no_write_ahead_log_is_no_damage(content: bytes) -> None:
    """Empty, torn in its header, or only zeros where a power loss left room for it."""
    wal = read_wal(content)
    assert wal.readable and not wal.committed and not wal.lost_commits


def test_noise_has_no_rows_and_nothing_raises(tmp_path: Path) -> None:
    """Whatever a disk gives back: pages of noise, pages that look like leaves, chains that lead nowhere or in a circle."""
    generator = random.Random(3)
    for name in ("a", "b", "c"):
        pages = [b"\x0d" + generator.randbytes(4095) for _ in range(20)]
        (tmp_path / name).write_bytes(b"".join(pages))
        rows(tmp_path / name)
    assert rows(tmp_path / "missing") == set()


def test_every_event_is_found_although_the_tree_is_gone(tmp_path: Path) -> None:
    """Without the first page and without any inner page the leaves still have it all."""
    log = lived(tmp_path / "agentd.db")
    log.database.db.pragma("wal_checkpoint", "TRUNCATE")
    path = log.leave(tmp_path / "left")
    content = bytearray(path.read_bytes())
    inner = [at for at in range(0, len(content), 4096) if at == 0 or content[at] in (2, 5)]
    for at in inner:
        content[at : at + 4096] = bytes(4096)
    path.write_bytes(content)
    events = sum(map(len, truth(log.path).values()))
    assert len(inner) > 1 and sum(len(row.columns) == 8 for row in rows(path)) == events
