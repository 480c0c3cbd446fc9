"""One transaction on a connection, whose failure is the failure that happened.

A full or failing disk makes SQLite roll back by itself (https://www.sqlite.org/lang_transaction.html, "Response To Errors Within A
Transaction"); apsw's own `with connection:` then fails on the rollback and hides the cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw


@contextmanager
def transaction(db: apsw.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE, then COMMIT, or ROLLBACK if anything was raised: all or nothing. The connection is usable afterwards."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def opened(path: str) -> Iterator[apsw.Connection]:
    """A connection to a file that nobody else uses, with SQLite's own settings."""
    db = apsw.Connection(path)
    try:
        yield db
    finally:
        db.close()
