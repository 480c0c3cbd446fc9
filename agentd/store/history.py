"""What befell a log's file: repairs and restores. It is told until a daemon has ended cleanly after it, and kept for ever.

Two files with the same history are of one line: the one with more events goes on where the other ends.
"""

from __future__ import annotations

import apsw

NEW, TOLD, OVER = 2, 1, 0
"""NEW: open turns do not go on by themselves. TOLD: it is still told. OVER: it is known."""


def record(db: apsw.Connection, at: float, text: str, state: int = NEW) -> None:
    """Within the caller's transaction."""
    db.execute("INSERT INTO history (at, text, state) VALUES (?, ?, ?)", (at, text, state))


def told(db: apsw.Connection) -> tuple[list[str], bool]:
    """What must be said, oldest first, and whether any of it is new."""
    rows = db.execute("SELECT text, state FROM history WHERE state > 0 ORDER BY id").fetchall()
    return [str(text) for text, _ in rows], any(state == NEW for _, state in rows)


def ended_since(db: apsw.Connection) -> bool:
    """Whether a daemon has ended in good order after the newest entry."""
    ended, told = db.execute("SELECT (SELECT max(ended_at) FROM boot), (SELECT max(at) FROM history)").get
    return ended is not None and ended >= told


def settle(db: apsw.Connection, *, clean: bool) -> None:
    """What was new is taken up; after a clean end it is over."""
    state = OVER if clean else TOLD
    db.execute("UPDATE history SET state = ? WHERE state > ?", (state, state))


def everything(db: apsw.Connection) -> str:
    """All texts, to look for a word in them."""
    return "\n".join(text for (text,) in db.execute("SELECT text FROM history"))
