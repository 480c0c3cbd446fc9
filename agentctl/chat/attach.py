"""Coming to a session, for the first time or again: one way for both, because nothing may be missed or shown twice.

`session/watch` gives a view and its seq, and from then on every later event. What lies before is fetched with `event/list`: after
what the transcript has seen, or at first the end of the history. The view comes last: it holds the draft, the queue and the open
questions as they are.
"""

from __future__ import annotations

from contextlib import suppress

from agentctl.chat import render
from agentctl.chat.connection import Connection
from agentctl.chat.render import Line, seam
from agentctl.chat.view import Transcript
from agentwire.errors import NotFound

HISTORY_EVENTS, HISTORY_LINES = 300, 150
"""How much of an older session is shown on attaching."""
PAGE = 1000


async def choose(connection: Connection, wanted: str, directory: str) -> str:
    """The id of the session meant: `wanted` is a beginning of it, or empty for the last one of `directory`; "" if there is none."""
    if wanted:
        return str((await connection.call("session/get", {"session": wanted}))["id"])
    found = (await connection.call("session/list", {"cwd": directory, "limit": 1}))["sessions"]
    return str(found[0]["id"]) if found else ""


async def attach(connection: Connection, session: str, transcript: Transcript) -> tuple[Transcript, list[Line]]:
    """Watches, and brings the transcript up to date; returns it, and the lines to print. Events that come meanwhile must wait.

    Where the session's log does not go on from what the transcript has (a backup was restored), another begins behind a seam.
    """
    watching = await connection.call("session/watch", {"session": session})
    news = await _missed(connection, transcript, watching["seq"]) if transcript.session == session else []
    if news is None:
        transcript = Transcript(after=transcript)
        news = transcript.note(render.replaced())
    if transcript.session != session:
        transcript.session = session
        news += await _history(connection, session, transcript, watching["seq"])
    return transcript, news + transcript.load(watching)


async def unwatch(connection: Connection, session: str) -> None:
    """Ends a watch; that there is none is fine."""
    if session:
        with suppress(NotFound):
            await connection.call("session/unwatch", {"session": session})


async def _history(connection: Connection, session: str, transcript: Transcript, seq: int) -> list[Line]:
    page = await connection.call("event/list", {"session": session, "before": seq + 1, "limit": HISTORY_EVENTS})
    news = [item for event in page["events"] for item in transcript.apply(event)]
    if page["more"] or len(news) > HISTORY_LINES:
        return [seam(f"earlier messages: agentctl session show {render.short(session)}"), *news[-HISTORY_LINES:]]
    return news


async def _missed(connection: Connection, transcript: Transcript, seq: int) -> list[Line] | None:
    """The lines of all events up to `seq` that the transcript does not have; None if the log does not go on from those it has."""
    news: list[Line] = []
    while transcript.seq != seq:
        page = await connection.call("event/list", {"session": transcript.session, "after": transcript.seq, "limit": PAGE})
        events = [event for event in page["events"] if event["seq"] <= seq]
        if not events or events[0]["seq"] != transcript.seq + 1:
            return None
        news += [item for event in events for item in transcript.apply(event)]
    return news
