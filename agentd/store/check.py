"""Whether a log is sound: what SQLite can tell of its file, and what must hold of its rows.

A problem is one line. Those of the session index, of sums, calls and references are of derived rows: they can be made anew from the
events, and no event is in doubt for them.
"""

from __future__ import annotations

from collections.abc import Iterator

import apsw
from attrs import frozen

from agentd.ports import Indexer
from agentd.store import blob, calls, history, usage
from agentd.store.derived import derive, indexed
from agentd.store.sums import proven

_MOST = 100
"""Problems that are told of one kind: the first are enough to know what to do."""
BROKEN = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)
"""What is raised for a file that is not a whole database, or has text that is none."""


@frozen
class Problem:
    """`stream`: whose derived rows are wrong; empty if it is something that cannot be made anew."""

    text: str
    stream: str = ""


def check(db: apsw.Connection, index: Indexer, *, full: bool = False) -> list[Problem]:
    """All that is wrong. `full`: every entry of SQLite's own indices and the content of every blob, too."""
    try:
        found = structure(db, full=full) or [*_gaps(db), *_streams(db, index), *_references(db), *(_blobs(db) if full else ())]
    except BROKEN as error:
        return [Problem(str(error))]
    return found


def structure(db: apsw.Connection, *, full: bool = False) -> list[Problem]:
    """What SQLite says of pages and trees."""
    try:
        rows = db.execute(f"PRAGMA {'integrity_check' if full else 'quick_check'}({_MOST})")
        return [Problem(str(line)) for (text,) in rows for line in text.splitlines() if text != "ok"]
    except BROKEN as error:
        return [Problem(str(error))]


def truth(db: apsw.Connection) -> list[Problem]:
    """Structure, numbers and sums: whether every event is what was written."""
    try:
        return structure(db, full=True) or [*_gaps(db), *_sums(db)]
    except BROKEN as error:
        return [Problem(str(error))]


def _gaps(db: apsw.Connection) -> Iterator[Problem]:
    """Events are numbered 1, 2, 3, ... and belong to a stream."""
    for number, count, last in db.execute(
        "SELECT stream, count(*), max(seq) FROM event GROUP BY stream HAVING count(*) <> max(seq)"
    ):
        yield Problem(f"stream {_name(db, number)}: {last - count} of its {last} events are missing")
    for (number,) in db.execute("SELECT DISTINCT stream FROM event WHERE stream NOT IN (SELECT id FROM stream)"):
        yield Problem(f"stream {number}: it has events but no name")


def _name(db: apsw.Connection, number: int) -> str:
    return str(db.execute("SELECT name FROM stream WHERE id = ?", (number,)).get or number)


def _sums(db: apsw.Connection) -> Iterator[Problem]:
    rows = db.execute(
        "SELECT name, user, seq, at, kind, version, data, sum FROM event JOIN stream ON stream.id = event.stream ORDER BY pos"
    )
    for name, user, seq, at, kind, version, data, known in rows:
        try:
            proven(data, known, name, user, seq, at, kind, version)
        except ValueError as error:
            yield Problem(f"stream {name}: event {seq}: {error}")


def _streams(db: apsw.Connection, index: Indexer) -> Iterator[Problem]:
    """Every event is what was written, and the derived rows are what the events say."""
    lost = history.everything(db)
    for number, name, user in db.execute("SELECT id, name, user FROM stream"):
        try:
            found = derive(db, index, number, name, user)
        except ValueError as error:
            yield Problem(f"stream {name}: {error}")
            continue
        if (row := indexed(db, name)) != found.row:
            yield Problem(f"session {name}: its row in the index is not what its events say ({_difference(row, found.row)})", name)
        if usage.of_session(db, name) != found.sums:
            yield Problem(f"session {name}: the sums of its requests are not what its events say", name)
        if calls.of_stream(db, number) != found.calls.rows:
            yield Problem(f"session {name}: the ledger of its tool calls is not what its events say", name)
        yield from _referred(db, number, name, found.blobs, lost)
    for (name,) in db.execute("SELECT id FROM session WHERE id NOT IN (SELECT name FROM stream)"):
        yield Problem(f"session {name}: it is in the index but has no events", name)
    for name in usage.strangers(db):
        yield Problem(f"session {name}: it has sums of requests but no events", name)
    for (number,) in db.execute(f"SELECT DISTINCT stream FROM call WHERE {calls.STRANGERS}"):  # noqa: S608
        yield Problem(f"session {number}: it has tool calls but no events", str(number))


def _difference(row: dict[str, object] | None, expected: dict[str, object] | None) -> str:
    if row is None or expected is None:
        return "missing" if row is None else "superfluous"
    return ", ".join(name for name in row if row[name] != expected.get(name))


def _referred(db: apsw.Connection, number: int, name: str, blobs: set[str], lost: str) -> Iterator[Problem]:
    """`lost`: what has been told to be missing."""
    for sha256 in sorted(blobs):
        found = db.execute("SELECT id FROM blob WHERE sha256 = ?", (sha256,)).get
        if found is None and sha256 not in lost:
            yield Problem(f"session {name}: blob {sha256} is missing")
        elif found and db.execute("SELECT 1 FROM blob_reference WHERE stream = ? AND blob = ?", (number, found)).get is None:
            yield Problem(f"session {name}: its reference to blob {sha256} is missing", name)


def _references(db: apsw.Connection) -> Iterator[Problem]:
    missing = "stream NOT IN (SELECT id FROM stream) OR blob NOT IN (SELECT id FROM blob)"
    for stream, number in db.execute(f"SELECT stream, blob FROM blob_reference WHERE {missing}"):  # noqa: S608
        yield Problem(f"a reference of stream {stream} to blob {number} leads nowhere", _name(db, stream))


def _blobs(db: apsw.Connection) -> Iterator[Problem]:
    """A blob is what its name says."""
    for sha256, size, data in db.execute("SELECT sha256, bytes, data FROM blob"):
        try:
            content = blob.unpack(data)
        except ValueError:
            content = b""
        if len(content) != size or blob.address(content) != sha256:
            yield Problem(f"blob {sha256}: its content is damaged")
