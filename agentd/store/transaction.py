"""One transaction on a connection, whose failure is the failure that happened.

A full or failing disk makes SQLite roll back by itself (https://www.sqlite.org/lang_transaction.html, "Response To Errors Within A
Transaction"); apsw's own `with connection:` then fails on the rollback and hides the cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import apsw


def transaction(db: apsw.Connection) -> AbstractContextManager[None]:
    """BEGIN IMMEDIATE, then COMMIT, or ROLLBACK if anything was raised: all or nothing. The connection is usable afterwards."""
    return _Transaction(db)


class _Transaction(AbstractContextManager[None]):
    """A class: around each commit a generator would cost as much as a statement."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


@contextmanager
def opened(path: str) -> Iterator[apsw.Connection]:
    """A connection to a file that nobody else uses, with SQLite's own settings."""
    db = apsw.Connection(path)
    try:
        yield db
    finally:
        db.close()
