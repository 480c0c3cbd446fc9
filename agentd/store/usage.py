"""The sums of model requests: one row for each user, day, session and model, kept in the same transaction as the events.

Costs are whole nano-dollars: sums are the same in whatever order they are made. When a session is erased its sums stay under the
session "", so that what a day or a user has cost does not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from agentd.ports import UsageChange, UsageFilter, UsageKey, day_of
from agentwire.types import Usage, UsageRow

_COLUMNS = ("requests", "input", "cached", "output", "reasoning", "cost", "unpriced", "estimated")
_KEYS = ("user", "day", "session", "model")
_NANO = 1_000_000_000
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in _COLUMNS)
_INSERT = f"INSERT INTO usage ({', '.join((*_KEYS, *_COLUMNS))})"
_ADDING = f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _COLUMNS)}"
_ADD = f"{_INSERT} VALUES ({', '.join('?' * (len(_KEYS) + len(_COLUMNS)))}) {_ADDING}"

Counts = tuple[int, ...]
"""Values of _COLUMNS."""
Sums = dict[tuple[str, int, str], Counts]
"""Of one session, by user, day and model."""


def counts(change: UsageChange) -> Counts:
    """One request."""
    used = change.usage
    cost = 0 if change.cost is None else round(change.cost * _NANO)
    return (1, used.input, used.cached, used.output, used.reasoning, cost, int(change.cost is None), int(change.estimated))


def count(db: apsw.Connection, user: str, at: float, session: str, change: UsageChange) -> None:
    """Add a request; within the caller's transaction."""
    db.execute(_ADD, (user, day_of(at), session, change.model, *counts(change)))


def take(sums: Sums, user: str, at: float, change: UsageChange) -> None:
    """The same to what is summed up aside."""
    key = (user, day_of(at), change.model)
    sums[key] = tuple(map(sum, zip(sums.get(key, (0,) * len(_COLUMNS)), counts(change), strict=True)))


def of_session(db: apsw.Connection, session: str) -> Sums:
    """What the table has of it."""
    rows: Any = db.execute(f"SELECT user, day, model, {', '.join(_COLUMNS)} FROM usage WHERE session = ?", (session,))  # noqa: S608
    return {row[:3]: row[3:] for row in rows}


def replace(db: apsw.Connection, session: str, sums: Mapping[tuple[str, int, str], Counts]) -> None:
    """Make the rows of a session anew."""
    db.execute("DELETE FROM usage WHERE session = ?", (session,))
    db.executemany(_ADD, [(user, day, session, model, *row) for (user, day, model), row in sums.items()])


def keep_sums(db: apsw.Connection, session: str) -> None:
    """The session is erased: what it has cost is nobody's session's from now on."""
    kept = f"SELECT user, day, '', model, {', '.join(_COLUMNS)} FROM usage WHERE session = ?"  # noqa: S608
    db.execute(f"{_INSERT} {kept} {_ADDING}", (session,))
    db.execute("DELETE FROM usage WHERE session = ?", (session,))


ERASED = f"SELECT user, day, model, {', '.join(_COLUMNS)} FROM usage WHERE session = ''"  # noqa: S608
ERASED_TYPES = (str, int, str, *(int for _ in _COLUMNS))


def recall(db: apsw.Connection, erased: Sequence[tuple[Any, ...]]) -> None:
    """What a damaged file says of sessions that were erased, where it knows of more: such sums only grow."""
    most = ", ".join(f"{name} = max({name}, excluded.{name})" for name in _COLUMNS)
    statement = f"{_INSERT} VALUES (?, ?, '', ?, {', '.join('?' * len(_COLUMNS))}) ON CONFLICT DO UPDATE SET {most}"
    db.executemany(statement, erased)


def strangers(db: apsw.Connection) -> list[str]:
    """Sessions that have sums but no events."""
    rows = db.execute("SELECT DISTINCT session FROM usage WHERE session <> '' AND session NOT IN (SELECT name FROM stream)")
    return [name for (name,) in rows]


_KEY_OF: Mapping[UsageKey, str] = {
    "all": "''",
    "day": "date(usage.day * 86400, 'unixepoch')",
    "session": "usage.session",
    "model": "usage.model",
    "user": "usage.user",
}


def summed(db: apsw.Connection, by: UsageKey, which: UsageFilter, limit: int) -> list[UsageRow]:
    """See `ports.Store.usage`."""
    conditions: list[tuple[str, Any]] = [
        ("usage.user = ?", which.user or None),
        ("usage.session = ?", which.session or None),
        ("usage.day >= ?", which.since),
        ("usage.day <= ?", which.until),
    ]
    chosen = [(clause, value) for clause, value in conditions if value is not None]
    where = " AND ".join(["1", *(clause for clause, _ in chosen)])
    title = "coalesce((SELECT title FROM session WHERE id = usage.session), '')" if by == "session" else "''"
    order = "key DESC" if by == "day" else "sum(cost) DESC, sum(input) + sum(output) DESC, key"
    statement = (
        f"SELECT {_KEY_OF[by]} AS key, {title} AS title, {_SUMS} FROM usage WHERE {where} "  # noqa: S608
        f"GROUP BY key ORDER BY {order} LIMIT ?"
    )
    return [_row(*row) for row in db.execute(statement, (*(value for _, value in chosen), limit))]


def _row(key: str, title: str, *sums: int) -> UsageRow:
    values = dict(zip(_COLUMNS, sums, strict=True))
    return UsageRow(
        key=key,
        requests=values["requests"],
        usage=Usage(input=values["input"], output=values["output"], cached=values["cached"], reasoning=values["reasoning"]),
        cost=None if 0 < values["unpriced"] == values["requests"] else values["cost"] / _NANO,
        unpriced=values["unpriced"],
        estimated=values["estimated"],
        title=title,
    )
