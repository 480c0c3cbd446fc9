"""`session list`, and the table that shows sessions."""

from __future__ import annotations

import os
import time

from agentctl.client import Client
from agentctl.output import Output, duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Any

    from agentwire.paths import Paths

SHORT = 8
"""Digits of an id in a table: 32 bits are unique among as many sessions as a person makes, and the daemon says if they are not."""
_PAGE = 1000


def list_(paths: Paths, args: Namespace, out: Output) -> int:
    """The sessions that pass the filters."""
    conditions = _conditions(args)
    with Client.connect(paths) as client:
        sessions, cursor = _sessions(client, conditions, None if args.all else args.limit, args.cursor)
    if args.json:
        out.document(sessions)
    elif sessions:
        table(sessions, out)
    else:
        out.detail("no such session; `agentctl session list` without conditions shows all" if conditions else "no session yet")
    if cursor and (args.json or not out.tty):
        out.note(f"there are more: --all shows all, --cursor {cursor} the next")
    elif cursor:
        out.note(f"the newest {len(sessions)} sessions; --limit N or --all for more")
    return 0


def table(sessions: Sequence[dict[str, Any]], out: Output) -> None:
    """One row a session."""
    now = time.time()
    rows = [
        (
            session["id"][:SHORT] if out.tty else session["id"],
            session["status"].replace("_", " ") + (", pinned" if session.get("pinned") else ""),
            f"{duration(now - session['updated_at'], 1)} ago" if out.tty else f"{session['updated_at']:.0f}",
            str(session["turns"]),
            session["cwd"],
            session["title"] + (f" (fork of {session['parent'][:SHORT]})" if out.tty and session.get("parent") else ""),
        )
        for session in sessions
    ]
    out.table(("ID", "STATUS", "ACTIVE", "TURNS", "DIRECTORY", "TITLE"), rows)


def _conditions(args: Namespace) -> dict[str, Any]:
    """The filter, without what is not asked."""
    now = time.time()
    asked = {
        "cwd": os.getcwd() if args.here else "",
        "text": args.text,
        "status": args.status,
        "model": args.model,
        "pinned": args.pinned,
        "active_after": now - args.active if args.active else None,
        "active_before": now - args.idle if args.idle else None,
    }
    return {name: value for name, value in asked.items() if value not in ("", None)}


def _sessions(client: Client, conditions: dict[str, Any], limit: int | None, cursor: str) -> tuple[list[dict[str, Any]], str]:
    """The first `limit` sessions behind `cursor` (None: all), and the cursor of the next if there are more."""
    found: list[dict[str, Any]] = []
    while True:
        count = _PAGE if limit is None else min(limit - len(found), _PAGE)
        page = client.call("session/list", {**conditions, "limit": count, "before": cursor})
        found += page["sessions"]
        cursor = page["cursor"]
        if not cursor or len(found) == limit:
            return found, cursor
