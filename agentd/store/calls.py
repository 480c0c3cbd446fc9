"""The ledger: one row for each tool call, under the position of the event that planned it, kept in the transaction of the events.

A row has what calls are looked for by and what became of it, no more: turn, arguments and rule are read from that event. So a call
costs few bytes beside its events, whatever it is called with. The open calls have an index of their own, of a page or two.
"""

from __future__ import annotations

from typing import Any

import apsw
import msgspec
from attrs import define, field

from agentd.ports import CallChange, CallFilter, CallSums
from agentd.store import blob
from agentwire.types import CallRecord

Row = tuple[Any, ...]
"""Values of COLUMNS."""
COLUMNS = (
    "pos", "stream", "user", "session", "call", "name", "planned_at", "started_at", "finished_at", "state", "outcome", "seconds",
)  # fmt: skip
_ADD = f"INSERT OR REPLACE INTO call ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_GO_ON = (
    "UPDATE call SET state = ?, outcome = ?, seconds = ?, started_at = coalesce(?, started_at), finished_at = ? "
    "WHERE pos = ? AND outcome = ''"
)
_NEWEST = "SELECT max(pos) FROM call WHERE stream = ? AND call = ? AND outcome = ''"
_ARGUMENTS = 2000
"""Characters of a call's arguments that are told."""

_Planned = msgspec.defstruct("_Planned", [("turn", int), ("arguments_json", str), ("rule", str, ""), ("session", str, "")])
_decode = msgspec.json.Decoder(_Planned).decode


class Calls:
    """The rows as the writer keeps them. `take` each event of an append, then `write`: what is planned and started together is one
    row, written once."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._fresh: dict[tuple[int, str], dict[str, Any]] = {}
        self._open: dict[tuple[int, str], int] = {}  # where those of this run are

    def take(self, pos: int, stream: int, user: str, at: float, change: CallChange) -> None:
        """What the event at `pos` does; within the caller's transaction."""
        key = (stream, change.call)
        fresh = self._fresh.get(key)
        if fresh and (change.state == "planned" or fresh["outcome"]):  # another one of this id
            self.write()
            fresh = None
        if change.state == "planned":
            self._fresh[key] = _planned(pos, stream, user, at, change)
        elif fresh:
            _go_on(fresh, at, change)
        else:
            began, over = at if change.state == "started" else None, at if change.state == "over" else None
            self._db.execute(_GO_ON, (change.state, change.outcome or "", change.seconds, began, over, self._where(*key)))
            if change.state == "over":
                self._open.pop(key, None)

    def _where(self, stream: int, call: str) -> int | None:
        """The newest open one of this id."""
        known = self._open.get((stream, call))
        return self._db.execute(_NEWEST, (stream, call)).get if known is None else known

    def write(self) -> None:
        """Put what is new into the table."""
        for key, row in self._fresh.items():
            self._db.execute(_ADD, tuple(row.values()))
            if not row["outcome"]:
                self._open[key] = row["pos"]
        self._fresh.clear()

    def erase(self, stream: int) -> None:
        """The stream has been erased, its rows too."""
        self._open = {key: pos for key, pos in self._open.items() if key[0] != stream}

    def forget(self) -> None:
        """The transaction was rolled back."""
        self._fresh.clear()
        self._open.clear()


def _planned(pos: int, stream: int, user: str, at: float, change: CallChange) -> dict[str, Any]:
    """A new row, in the order of COLUMNS."""
    row = {"pos": pos, "stream": stream, "user": user, "session": change.session, "call": change.call, "name": change.name}
    return row | {"planned_at": at, "started_at": None, "finished_at": None, "state": "planned", "outcome": "", "seconds": 0.0}


def _go_on(row: dict[str, Any], at: float, change: CallChange) -> None:
    row |= {"state": change.state, "outcome": change.outcome or "", "seconds": change.seconds}
    if change.state == "started":
        row["started_at"] = at
    elif change.state == "over":
        row["finished_at"] = at


@define
class Ledger:
    """The calls of one stream, made aside."""

    stream: int
    user: str
    _calls: list[dict[str, Any]] = field(factory=list)
    _open: list[dict[str, Any]] = field(factory=list)

    def take(self, pos: int, at: float, change: CallChange) -> None:
        """The stream's next event that is about a call."""
        if change.state == "planned":
            self._calls.append(_planned(pos, self.stream, self.user, at, change))
            self._open.append(self._calls[-1])
            return
        call = next((call for call in reversed(self._open) if call["call"] == change.call), None)
        if call is None:
            return
        _go_on(call, at, change)
        if change.state == "over":
            self._open.remove(call)

    @property
    def rows(self) -> list[Row]:
        return [tuple(call[name] for name in COLUMNS) for call in self._calls]


def of_stream(db: apsw.Connection, stream: int) -> list[Row]:
    """What the table has of it."""
    return list(db.execute(f"SELECT {', '.join(COLUMNS)} FROM call WHERE stream = ? ORDER BY pos", (stream,)))  # noqa: S608


def replace(db: apsw.Connection, ledger: Ledger) -> None:
    """Make the rows of a stream anew."""
    erase(db, ledger.stream)
    db.executemany(_ADD, ledger.rows)


def erase(db: apsw.Connection, stream: int) -> None:
    db.execute("DELETE FROM call WHERE stream = ?", (stream,))


STRANGERS = "stream NOT IN (SELECT id FROM stream)"
"""Rows of streams that do not exist."""


def listed(db: apsw.Connection, user: str, which: CallFilter, before: int | None, limit: int) -> list[CallRecord]:
    """See `ports.Store.calls`."""
    conditions: list[tuple[str, tuple[Any, ...]]] = [("call.user = ?", (user,))]
    if which.tool:
        conditions.append(("call.name = ?", (which.tool,)))
    if which.session:
        its = "(call.stream = (SELECT id FROM stream WHERE name = ?) OR (call.session = ? AND call.session <> ''))"
        conditions.append((its, (which.session, which.session)))
    if which.outcome:
        conditions.append(("call.outcome = ?", ("" if which.outcome == "open" else which.outcome,)))
    if which.since is not None:
        conditions.append(("call.planned_at >= ?", (which.since,)))
    if before is not None:
        conditions.append(("call.pos < ?", (before,)))
    where = " AND ".join(clause for clause, _ in conditions)
    # Few are open; left alone, SQLite would go through all of them in their order.
    few = which.outcome == "open" and not which.session
    table = "call INDEXED BY call_open" if few else "call"
    clause = f"{where} AND call.outcome = ''" if few else where
    statement = (
        "SELECT call.pos, stream.name, call.session, call.call, call.name, call.state, call.outcome, call.planned_at, "  # noqa: S608
        f"call.started_at, call.finished_at, call.seconds, event.data FROM {table} JOIN stream ON stream.id = call.stream "
        f"LEFT JOIN event ON event.pos = call.pos WHERE {clause} ORDER BY call.pos DESC LIMIT ?"
    )
    values = [value for _, some in conditions for value in some]
    return [_record(*row) for row in db.execute(statement, (*values, limit))]


def _record(pos: int, stream: str, session: str, call: str, name: str, state: Any, outcome: Any, *rest: Any) -> CallRecord:
    planned_at, started_at, finished_at, seconds, data = rest
    try:
        planned: Any = _decode(blob.unpack(data))
    except (ValueError, TypeError):  # damaged: whoever reads the log will say so
        planned = _Planned(0, "")
    return CallRecord(
        pos=pos,
        session=session if stream.startswith("user:") else stream,
        turn=planned.turn,
        call=call,
        name=name,
        arguments_json=planned.arguments_json[:_ARGUMENTS],
        state=state,
        outcome=outcome or None,
        planned_at=planned_at,
        started_at=started_at,
        finished_at=finished_at,
        seconds=seconds,
        rule=planned.rule,
    )


def summed(db: apsw.Connection, user: str) -> list[CallSums]:
    """See `ports.Store.call_sums`."""
    rows = db.execute(
        "SELECT name, count(*), sum(outcome IN ('error', 'invalid_arguments')), sum(outcome = 'denied'), sum(seconds), "
        "max(planned_at) FROM call WHERE user = ? GROUP BY name",
        (user,),
    )
    return [CallSums(*row) for row in rows]


def direct(db: apsw.Connection) -> list[tuple[str, str, bool]]:
    """See `ports.Store.direct_calls`."""
    rows = db.execute(
        "SELECT stream.user, call.call, call.state = 'started' FROM call INDEXED BY call_open "
        "JOIN stream ON stream.id = call.stream WHERE call.outcome = '' AND stream.name LIKE 'user:%' ORDER BY call.pos"
    )
    return [(user, call, bool(started)) for user, call, started in rows]
