"""Lists of sessions: what each filter means, pages without a gap, and that nobody pays for how many there are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Self

import apsw
import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.index import index_change
from agentd.store.reader import Reader
from agentd.store.sqlite import Database, connect
from agentwire.types import SessionFilter, SessionInfo

COLUMNS = ["id", "user", "title", "cwd", "model", "status", "created_at", "updated_at", "turns", "queued", "pinned", "parent"]
BEGIN = 1_700_000_000.0
MANY = 100_000


def fill(db: apsw.Connection, rows: Iterator[tuple[Any, ...]]) -> None:
    """Rows of the index without the sessions behind them."""
    with db:
        db.executemany(f"INSERT INTO session ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", rows)


def opened(path: str) -> Reader:
    db = connect(path)
    Database(db, path, index_change).migrate()
    return Reader(db, path)


# --- what a filter means ---------------------------------------------------------------------------------------------------------

TITLES = ("50% of a_b", "50 of ab", "Fix\\it", "fix it", "")
INFOS = st.builds(
    SessionInfo,
    id=st.integers(0, 2**128 - 1).map("{:032x}".format),
    title=st.sampled_from(TITLES),
    cwd=st.sampled_from(["/a", "/a/b"]),
    model=st.sampled_from(["m/1", "m/2"]),
    status=st.sampled_from(["idle", "running", "awaiting_approval"]),
    created_at=st.integers(0, 3).map(float),
    updated_at=st.integers(0, 3).map(float),
    turns=st.just(0),
    queued=st.integers(0, 1),
    pinned=st.booleans(),
    parent=st.sampled_from(["", "p"]),
)
TIMES = st.none() | st.integers(0, 4).map(float)
FILTERS = st.builds(
    SessionFilter,
    cwd=st.sampled_from(["", "/a"]),
    text=st.sampled_from(["", "FIX", "%", "_b", "\\"]),
    status=st.sampled_from(["", "idle", "running", "awaiting_approval"]),
    model=st.sampled_from(["", "m/1"]),
    parent=st.sampled_from(["", "p"]),
    pinned=st.none() | st.booleans(),
    active_after=TIMES,
    active_before=TIMES,
    created_before=TIMES,
)


def chosen(info: SessionInfo, which: SessionFilter) -> bool:
    words = all(getattr(which, name) in ("", getattr(info, name)) for name in ("cwd", "status", "model", "parent"))
    return (
        words
        and which.text.lower() in info.title.lower()
        and which.pinned in (None, info.pinned)
        and (which.active_after is None or info.updated_at > which.active_after)
        and (which.active_before is None or info.updated_at < which.active_before)
        and (which.created_before is None or info.created_at < which.created_before)
    )


@given(infos=st.lists(INFOS, max_size=12, unique_by=lambda info: info.id), which=FILTERS, limit=st.integers(1, 4))
def test_pages_have_what_the_filter_says(infos: list[SessionInfo], which: SessionFilter, limit: int) -> None:
    """Each that fits once, newest activity first, of equal ones by id, however the list is paged; and nobody else's."""
    reader = opened(":memory:")
    foreign = {**asdict(infos[0]), "id": "f" * 33} if infos else {}
    rows = [{"user": "ann", **asdict(info)} for info in infos] + ([{"user": "bob", **foreign}] if foreign else [])
    fill(reader.db, (tuple(row[name] for name in COLUMNS) for row in rows))
    found: list[SessionInfo] = []
    before = ""
    while page := reader.sessions("ann", which, before, limit):
        found += page
        before = f"{page[-1].updated_at!r}:{page[-1].id}"
        assert len(page) <= limit
    assert found == sorted((info for info in infos if chosen(info, which)), key=lambda info: (-info.updated_at, info.id))
    assert reader.users() == sorted({row["user"] for row in rows}) and reader.count_sessions() == len(rows)
    reader.db.close()


@pytest.mark.parametrize("cursor", ["nonsense", "x:y", ":"])
def test_a_cursor_that_is_none(cursor: str) -> None:
    """ValueError, which is the caller's mistake."""
    with pytest.raises(ValueError, match="float"):
        opened(":memory:").sessions("ann", SessionFilter(), cursor, 1)


# --- a hundred thousand ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """100,000 sessions of two users; some of them at work, pinned or forked."""
    reader = opened(str(tmp_path_factory.mktemp("crowded") / "agentd.db"))
    dice = random.Random(1)

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(MANY):
            user = "ann" if number % 10 else "bob"
            status = {7: "running", 8: "awaiting_approval"}.get(number % 20_000, "idle")
            made = BEGIN + number * 60
            times, parent = (made, made + dice.random() * 30 * 86400), "" if number % 500 else "p"
            marks = (3, int(number % 30_001 == 9), int(number % 1000 == 1))
            yield (
                f"{dice.getrandbits(128):032x}",
                user,
                f"talk {number}",
                f"/p{number % 100}",
                "m/1",
                status,
                *times,
                *marks,
                parent,
            )

    fill(reader.db, rows())
    yield reader
    reader.db.close()


class Work:
    """Statements of a connection, and what SQLite says of how it carries them out."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db, self.plans, self._steps = db, list[str](), 0

    def __enter__(self) -> Self:
        self.db.exec_trace = self._explain
        self.db.set_progress_handler(self._count, 1000)
        return self

    def __exit__(self, *_: object) -> None:
        self.db.exec_trace = None
        self.db.set_progress_handler(None)

    def _explain(self, _: apsw.Cursor, statement: str, values: Any) -> bool:
        self.db.exec_trace = None
        self.plans += [row[3] for row in self.db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        self.db.exec_trace = self._explain
        return True

    def _count(self) -> bool:
        self._steps += 1
        return False

    @property
    def instructions(self) -> int:
        """Of SQLite's machine, in thousands: what the rows that were looked at cost, on every computer."""
        return self._steps


LATER = f"{BEGIN + MANY * 30!r}:{'0' * 32}"


@pytest.mark.parametrize(
    ("which", "before", "index"),
    [
        ({}, "", "session_by_activity"),
        ({}, LATER, "session_by_activity"),
        ({"cwd": "/p7"}, "", "session_by_cwd"),
        ({"cwd": "/p7"}, LATER, "session_by_cwd"),
        ({"status": "running"}, "", "session_unfinished"),
        ({"status": "awaiting_approval"}, LATER, "session_unfinished"),
        ({"pinned": True}, "", "session_pinned"),
        ({"parent": "p"}, "", "session_by_parent"),
        ({"active_after": BEGIN + MANY * 60}, "", "session_by_activity"),
        ({"status": "idle", "pinned": False, "active_before": BEGIN + 3600}, "", "session_by_activity"),
        ({"status": "idle", "pinned": False, "created_before": BEGIN + 3600}, "", "session_by_age"),
    ],
    ids=str,
)
def test_a_page_looks_at_little_more_than_it_shows(crowded: Reader, which: dict[str, Any], before: str, index: str) -> None:
    """The first as one from the middle; by directory, what is at work, pinned, forked, idle or old."""
    with Work(crowded.db) as work:
        crowded.sessions("ann", SessionFilter(**which), before, 51)
    assert any(index in plan for plan in work.plans), work.plans
    assert work.instructions < 20


def test_finding_counting_and_recovering_load_no_list(crowded: Reader) -> None:
    """By the beginning of an id, whose sessions there are, what is unfinished: none of it goes through all sessions."""
    (first,) = crowded.sessions("ann", SessionFilter(), "", 1)
    with Work(crowded.db) as work:
        assert crowded.find_session("ann", first.id[:8]) == [first.id]
        assert crowded.find_session("bob", first.id[:8]) == []
        assert len(crowded.find_session("ann", "a")) == 2
        assert crowded.users() == ["ann", "bob"]
        assert len(crowded.unfinished()) == 14
    assert work.instructions < 20
    with Work(crowded.db) as work:
        assert crowded.count_sessions() == MANY
    assert "COVERING INDEX" in work.plans[0] and work.instructions < 20, "SQLite counts pages, not rows"
