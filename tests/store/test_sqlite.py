"""One connection: what a batch leaves in the file, and what a failed or deleted one does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from agentd.core.index import index_change
from agentd.ports import IdemKey, NewEvent
from agentd.store.reader import Reader
from agentd.store.sqlite import Append, Database, Draft, Encoded, Item, Write, connect
from agentwire.errors import StorageFull
from agentwire.events import MAX_EVENT, Event, encode_body
from agentwire.types import SessionFilter
from tests.core.logs import accepted, asked, finished, replied, started
from tests.store.running import noise, opened, renamed

FULL, NORMAL = 2, 1  # PRAGMA synchronous


def append(*events: NewEvent, at: float = 1.0, **more: Any) -> Append:
    return Append([Encoded(new.stream, new.user, at, new.body, encode_body(new.body)) for new in events], key_at=at, **more)


def facts(at: float, *bodies: Any) -> Append:
    return append(*(NewEvent("s", "ann", body) for body in bodies), at=at)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "agentd.db")


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    database = Database(connect(path), path, index_change)
    database.migrate()
    yield database
    database.db.close()


def reopened(database: Database) -> Database:
    """The same file as the next boot finds it: nothing remembered."""
    database.db.close()
    return Database(connect(database.path), database.path, index_change)


def reading(database: Database) -> Reader:
    return Reader(database.db, database.path)


def rows(database: Database, table: str) -> int:
    return int(database.db.execute(f"SELECT count(*) FROM {table}").get)


def seqs(database: Database, stream: str = "s") -> list[int]:
    return [event.seq for event in reading(database).read(stream, 0, 1000)]


# --- commits -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "mode"),
    [
        ([Draft("s", b"x")], NORMAL),
        ([Draft("s", b"x"), Draft("t", b"y")], NORMAL),
        ([Draft("s", b"x"), append(renamed())], FULL),
        ([append(renamed())], FULL),
        ([Write(lambda _: None)], FULL),
    ],
)
def test_only_drafts_are_spared_the_sync(database: Database, items: list[Item], mode: int) -> None:
    """Every event survives power loss; a draft need only survive kill -9. Whatever was committed before."""
    for before in ([append(renamed())], [Draft("s", b"x")]):
        database.commit(before)
        database.commit(items)
        assert database.db.pragma("synchronous") == mode


def test_batch_is_all_or_nothing(database: Database) -> None:
    """A failure in the middle takes back what came before it, also the numbers that were given out."""
    database.commit([append(renamed())])

    def fail(_: Database) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.commit([append(renamed(), renamed(stream="new")), Draft("s", b"x"), Write(fail)])
    assert seqs(database) == [1] and rows(database, "stream") == 1 and rows(database, "draft") == 0
    database.commit([append(renamed(), renamed(stream="new"))])
    assert (seqs(database), seqs(database, "new")) == ([1, 2], [1])


def test_seqs_go_on_after_a_restart(database: Database) -> None:
    """The next boot numbers on from the file."""
    database.commit([append(renamed(), renamed())])
    later = reopened(database)
    later.commit([append(renamed())])
    assert seqs(later) == [1, 2, 3]
    later.db.close()


def test_full_disk_is_storage_full_and_nothing_is_written(database: Database) -> None:
    """SQLite itself has no page left: no half of a batch, numbers unspent, reading works, small things and later ones too."""
    database.commit([append(opened())])
    database.db.pragma("max_page_count", database.db.pragma("page_count"))
    for _ in range(2):
        with pytest.raises(StorageFull, match="no space left"):
            database.commit([append(renamed("small"), renamed(noise(50_000))), Draft("s", b"x")])
        assert seqs(database) == [1] and rows(database, "draft") == 0 and not database.db.in_transaction
    database.db.pragma("max_page_count", 1_000_000)
    database.commit([append(renamed(noise(50_000)))])
    assert seqs(database) == [1, 2]


class NoSpace(Database):
    """A file system with `left` bytes."""

    left = 0

    def _space(self) -> int:
        return self.left


def test_write_error_is_a_full_disk_only_if_the_disk_is_full(path: str) -> None:
    """Some file systems say I/O error for no space; with space left it is a broken disk, and the daemon must not go on."""
    database = NoSpace(connect(path), path, index_change)
    database.migrate()

    def fail(_: Database) -> None:
        raise apsw.exception_for(apsw.SQLITE_IOERR_WRITE)

    with pytest.raises(StorageFull):
        database.commit([Write(fail)])
    database.left = 1 << 30
    with pytest.raises(apsw.IOError):
        database.commit([Write(fail)])


def test_wal_stays_small(database: Database, path: str) -> None:
    """A long run does not leave megabytes beside the file."""
    for number in range(100):
        database.commit([append(renamed(noise(2000, number)))])
        if database.untidy:
            database.tidy()
    assert Path(f"{path}-wal").stat().st_size < 500_000


# --- erasing -----------------------------------------------------------------------------------------------------------------


def everything(path: str) -> bytes:
    return b"".join(file.read_bytes() for file in Path(path).parent.iterdir() if not file.name.endswith("-shm"))


def session_with_traces(secret: str) -> list[Item]:
    """A session that has left something in every table."""
    return [
        append(opened(title=secret), renamed(secret)),
        Write(lambda database: database.save_snapshot("s", 2, "code", secret.encode())),
        Write(lambda database: database.put_blob("s", secret.encode() * 2, "a" * 64)),
        Draft("s", secret.encode()),
    ]


def test_erased_means_gone_from_the_files(database: Database, path: str) -> None:
    """No byte of a deleted session is left in the file or its WAL; other sessions keep theirs."""
    secret = noise(4000)
    database.commit([*session_with_traces(secret), append(renamed("neighbour", "t"))])
    assert secret.encode() in everything(path)
    database.commit([append(renamed("gone", "user:ann"), erase="s")])
    assert secret[:40].encode() not in everything(path)
    assert seqs(database) == [] and len(seqs(database, "t")) == 1
    assert all(rows(database, table) == 0 for table in ("session", "draft", "snapshot", "blob", "blob_reference"))


def test_reader_in_the_way_delays_the_erasure_to_the_next_commit(database: Database, path: str) -> None:
    """A program that reads the file keeps the WAL alive: the commit does not wait for it, the erasure is not forgotten."""
    secret = noise(4000)
    database.commit(session_with_traces(secret))
    foreign = connect(path)
    reading = foreign.execute("SELECT * FROM event")
    next(reading)
    database.commit([append(renamed("gone", "user:ann"), erase="s")])
    assert secret[:40].encode() in everything(path)
    reading.close()
    foreign.close()
    database.commit([append(renamed("later", "t"))])
    assert secret[:40].encode() not in everything(path)


def test_kill_between_erasure_and_truncation_is_made_good_at_the_next_start(
    database: Database, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The WAL that a killed daemon leaves is truncated by the first commit of the next."""
    secret = noise(4000)
    database.commit(session_with_traces(secret))
    copy = f"{path}.copy"
    monkeypatch.setattr(database._wal, "tidy", lambda: None)  # the kill
    database.commit([append(renamed("gone", "user:ann"), erase="s")])
    for suffix in ("", "-wal"):
        Path(copy + suffix).write_bytes(Path(path + suffix).read_bytes())
    database.db.close()
    Path(path).unlink()
    later = Database(connect(copy), copy, index_change)
    assert secret[:40].encode() in everything(path)
    later.commit([Write(lambda database: database.start_boot("b", 1.0))])
    assert secret[:40].encode() not in everything(path)
    later.db.close()


def test_shared_blob_lives_as_long_as_somebody_refers_to_it(database: Database) -> None:
    """One copy for all; the last reference takes it along; put twice is one reference."""
    database.commit([append(renamed(stream="s"), renamed(stream="t"))])
    for stream in ("s", "t", "t"):
        database.commit([Write(lambda database, stream=stream: database.put_blob(stream, b"content", "a" * 64))])  # type: ignore[misc]
    assert rows(database, "blob") == 1 and rows(database, "blob_reference") == 2
    database.commit([append(renamed("gone", "user:ann"), erase="s")])
    assert reading(database).get_blob("s", "a" * 64, 0, 100) is None
    assert reading(database).get_blob("t", "a" * 64, 0, 100) == (b"content", 7)
    database.commit([append(renamed("gone", "user:ann"), erase="t")])
    assert rows(database, "blob") == 0


def test_erasing_what_is_not_there_is_nothing(database: Database) -> None:
    """A stream that never was, or that is erased twice; its name begins anew at 1."""
    database.commit([append(renamed(stream="user:ann"), erase="s")])
    database.commit([append(renamed())])
    database.commit([append(renamed(stream="user:ann"), erase="s")])
    database.commit([append(renamed(stream="user:ann"), erase="s")])
    assert seqs(database) == []
    database.commit([append(renamed())])
    assert seqs(database) == [1] and seqs(database, "user:ann") == [1, 2, 3]


def test_positions_are_never_used_again(database: Database) -> None:
    """The cursor of a user-wide watch stays true over a deletion and a restart."""
    database.commit([append(renamed(), renamed(stream="user:ann"), renamed())])
    database.commit([append(renamed("gone", "user:ann"), erase="s")])
    later = reopened(database)
    item = append(renamed(stream="t"))
    later.commit([item])
    assert item.committed[0].pos == 5
    later.db.close()


# --- idempotency keys ----------------------------------------------------------------------------------------------------------


def key(answer: bytes = b"{}", user: str = "ann") -> IdemKey:
    return IdemKey(user=user, key="k", digest="d", answer=lambda events: answer)


def test_key_and_events_are_one_transaction(database: Database) -> None:
    """Never one without the other; the answer may use what the commit gave."""

    def positions(events: Any) -> bytes:
        return b"%d" % events[-1].pos

    def fail(events: Any) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.commit([append(renamed(), key=IdemKey(user="ann", key="k", digest="d", answer=fail))])
    assert seqs(database) == [] and reading(database).answered("ann", "k", 1.0) is None
    database.commit([append(renamed(), key=IdemKey(user="ann", key="k", digest="d", answer=positions))])
    assert reading(database).answered("ann", "k", 1.0) == ("d", b"1")
    assert reading(database).answered("bob", "k", 1.0) is None


def test_key_counts_for_a_day(database: Database) -> None:
    """Then it is as if it had never been, and may be used anew; what is too old is swept, whosever it is."""
    day = 24 * 3600.0
    database.commit([append(renamed(), at=100.0, key=key(b"1")), append(renamed(), at=100.0, key=key(b"2", "bob"))])
    assert reading(database).answered("ann", "k", 100.0 + day) == ("d", b"1")
    assert reading(database).answered("ann", "k", 100.1 + day) is None
    database.commit([append(renamed(), at=101.0 + day, key=key(b"3"))])
    assert reading(database).answered("ann", "k", 101.0 + day) == ("d", b"3")
    assert rows(database, "idempotency") == 1


def test_clock_set_back_does_not_stop_the_daemon(database: Database) -> None:
    """Found too old by the clock, then written by an earlier one: the newer answer counts."""
    database.commit([append(renamed(), at=1_000_000.0, key=key(b"1"))])
    assert reading(database).answered("ann", "k", 2_000_000.0) is None
    database.commit([append(renamed(), at=1_000_001.0, key=key(b"2"))])
    assert reading(database).answered("ann", "k", 1_000_001.0) == ("d", b"2")


# --- the session index -----------------------------------------------------------------------------------------------------------


def test_index_follows_the_events(database: Database) -> None:
    """The row says what the events say; the first input gives a nameless session its title; activity moves it up."""
    database.commit([append(opened(), at=1.0), append(opened("t"), at=2.0)])
    database.commit([facts(3.0, accepted(1, "Tell me"), accepted(2, "Or not"))])
    first, second = reading(database).sessions("ann", SessionFilter(), "", 10)
    assert (first.id, first.title, first.queued, first.status, first.updated_at) == ("s", "Tell me", 2, "idle", 3.0)
    assert (second.id, second.created_at) == ("t", 2.0)
    database.commit([facts(4.0, started(), replied("", calls=("c",), stop="tool_calls"), asked("c"))])
    row = reading(database).sessions("ann", SessionFilter(), "", 1)[0]
    assert (row.status, row.turns, row.queued) == ("awaiting_approval", 1, 1)
    database.commit([facts(5.0, finished())])
    assert reading(database).unfinished() == [("ann", "s")]  # an input still waits


def test_index_is_paged_without_gaps(database: Database) -> None:
    """Every session once, also those of the same moment; of one user, of one directory."""
    for number in range(10):
        database.commit([append(opened(f"{number:x}", cwd="/a" if number % 2 else "/b"), at=float(number // 4))])
    database.commit([append(opened("f", user="bob"))])
    found, before = [], ""
    while page := reading(database).sessions("ann", SessionFilter(), before, 3):
        found += [row.id for row in page]
        before = f"{page[-1].updated_at!r}:{page[-1].id}"
    assert found == ["8", "9", "4", "5", "6", "7", "0", "1", "2", "3"]
    assert [row.id for row in reading(database).sessions("ann", SessionFilter(cwd="/a"), "", 10)] == ["9", "5", "7", "1", "3"]
    assert reading(database).count_sessions() == 11


def test_sessions_are_found_by_the_beginning_of_their_id(database: Database) -> None:
    """Two at most, enough to say that it is not unique; never another user's; nothing in a prefix is a pattern."""
    for name, user in (("ab1", "ann"), ("ab2", "ann"), ("ab3", "ann"), ("abf", "bob"), ("ac", "ann")):
        database.commit([append(opened(name, user))])
    assert reading(database).find_session("ann", "ab") == ["ab1", "ab2"]
    assert reading(database).find_session("ann", "ab2") == ["ab2"]
    assert reading(database).find_session("bob", "ab") == ["abf"]
    assert [reading(database).find_session("ann", prefix) for prefix in ("%", "_b", "z", "ab1x", "AB")] == [[]] * 5


# --- reading -------------------------------------------------------------------------------------------------------------------


def test_pages_fit_a_frame_and_always_move_on(database: Database) -> None:
    """Events of the largest size come in pages of about 2 MiB, at least one each, forwards and backwards."""
    big = noise(MAX_EVENT - 100)
    database.commit([append(*(renamed(big) for _ in range(5)), renamed("small"))])
    pages: list[list[Event]] = []
    while page := reading(database).read("s", pages[-1][-1].seq if pages else 0, 1000):
        pages.append(page)
    assert [[event.seq for event in page] for page in pages] == [[1, 2], [3, 4], [5, 6]]
    assert [event.seq for event in reading(database).read_back("s", 7, 1000)] == [4, 5, 6]
    assert [event.seq for event in reading(database).read_back("s", 4, 1)] == [3]


def test_event_comes_back_as_it_was_written(database: Database) -> None:
    """Every field and the body's bytes, compressed in between or not."""
    item = append(renamed("short"), renamed("long " * 1000), at=12.5)
    database.commit([item])
    for written, read in zip(item.committed, reading(database).read("s", 0, 10), strict=True):
        assert read.body is None
        for name in ("pos", "stream", "seq", "user", "at", "kind", "version", "data"):
            assert getattr(read, name) == getattr(written, name)


# --- boots ---------------------------------------------------------------------------------------------------------------------


def test_clean_end_closes_the_book_on_earlier_crashes(database: Database) -> None:
    """Only the boots since the last clean end count as unclean."""
    assert database.start_boot("a", 1.0) == []
    database.end_boot("a", 2.0)
    assert database.start_boot("b", 3.0) == []
    assert database.start_boot("c", 4.0) == [3.0]
    assert database.start_boot("d", 5.0) == [3.0, 4.0]
    database.end_boot("d", 6.0)
    assert database.start_boot("e", 7.0) == []


def test_old_boots_are_forgotten(database: Database) -> None:
    """The table does not grow for ever."""
    for number in range(20):
        database.start_boot(f"{number}", number * 86400.0)
    assert rows(database, "boot") <= 8
