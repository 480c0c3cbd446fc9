"""A session whose log does not go on from what a client knows (a backup was restored, there is a hole): said once, and followed."""

from __future__ import annotations

import asyncio  # noqa: TID251  # the chat's loop
import signal
from json import loads
from pathlib import Path
from typing import Any

import pytest

from agentctl.link import Link
from agentctl.turns import REPLACED
from tests.client.cli import agentctl, end, start
from tests.client.test_chat_link import Stage
from tests.fakes.daemon_server import SESSION, Act, FakeDaemon, Finish, Lag, Message, Restore, Say

SEAM = "── the session's history was replaced; from here on as it is now ──"


def followed(home: Path, turn: list[Act], *, until: str = "turn_finished") -> list[dict[str, Any]]:
    """The events of a turn as a link gives them."""
    events = []
    with FakeDaemon(home, turn) as daemon:
        link = Link(daemon.paths)
        link.watch(SESSION)
        link.call("session/prompt", {"session": SESSION, "parts": [], "key": "k"})
        for event in link.events(timeout=10):
            events.append(event)
            if event["kind"] == until:
                break
        link.close()
    return events


def test_link_goes_on_from_a_view(home: Path) -> None:
    """A backup is restored under it: `history_replaced` with a view, then the new events, although their seqs are small."""
    events = followed(home, [Say("one"), Message(), Restore(1), Say("two"), Finish()])
    at = [event["kind"] for event in events].index(REPLACED)
    assert [event["seq"] for event in events[:at] if "seq" in event] == [2, 3, 4]
    assert (events[at]["data"]["seq"], events[at]["data"]["view"]["info"]["id"]) == (1, SESSION)
    assert [event["kind"] for event in events[at + 1 :]] == ["delta", "assistant_message", "turn_finished"]


def test_link_takes_a_view_where_the_log_has_a_hole(home: Path) -> None:
    """`cursor_expired` ends the watch: asking for the same events again would end the same way."""
    events = followed(home, [Say("one"), Lag(" two", "cursor_expired"), Say(" three"), Finish()])
    kinds = [event["kind"] for event in events]
    assert kinds.count(REPLACED) == 1
    assert kinds[kinds.index(REPLACED) + 1 :] == ["delta", "assistant_message", "turn_finished"]


def test_run_says_that_its_turn_is_lost_from_sight(home: Path) -> None:
    """A run cannot know what became of its prompt: an error that says so, and what can be looked at."""
    with FakeDaemon(home, [Say("one"), Message(), Restore(1), Say("two"), Finish()]):
        answer = agentctl(home, "run", "count")
    assert answer.code == 1
    assert "history was replaced" in answer.err
    assert f"agentctl session show {SESSION}" in answer.err


@pytest.mark.parametrize("json", [True, False])
def test_session_watch_after_what_is_not_there(home: Path, *, json: bool) -> None:
    """A note, and the watch goes on from the view, which --json shows."""
    with FakeDaemon(home):
        process = start(home, "session", "watch", SESSION[:5], "--after", "99", *(["--json"] if json else []))
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        process.send_signal(signal.SIGINT)
        answer = end(process)
    assert answer.code == 130
    if json:
        assert loads(first)["kind"] == REPLACED
        assert "history was replaced" in answer.err
    else:
        assert first.strip() == SEAM


@pytest.mark.parametrize("keep", [1, 4])
def test_chat_shows_the_session_as_it_is_now(tmp_path: Path, keep: int) -> None:
    """A seam, then what the session holds; what comes afterwards is shown although its seqs were used before."""

    async def main() -> None:
        stage = Stage(tmp_path)
        await stage.daemon.start()
        task = asyncio.create_task(stage.chat.run())
        await stage.begin_turn("first")
        session = stage.daemon.only
        stage.daemon.reply(session, "answer")
        stage.daemon.finish(session)
        await stage.begin_turn("second")
        await stage.daemon.stop()
        del session.log[keep:]
        session.turn = None
        await stage.daemon.start()
        await stage.tape.printed(SEAM)
        shown = stage.tape.lines[stage.tape.lines.index(SEAM) :]
        assert [text for text in shown[1:] if text] == (["> first", "answer"] if keep == 4 else [])
        await stage.begin_turn("third")
        stage.daemon.reply(session, "still here")
        await stage.tape.printed("still here")
        assert stage.tape.lines.count(SEAM) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.daemon.stop()

    asyncio.run(main())


def test_chat_whose_log_has_a_hole_shows_what_there_is(tmp_path: Path) -> None:
    """Events that cannot be had are not waited for."""

    async def main() -> None:
        stage = Stage(tmp_path)
        await stage.daemon.start()
        task = asyncio.create_task(stage.chat.run())
        await stage.begin_turn("first")
        session = stage.daemon.only
        await stage.daemon.stop()
        stage.daemon.reply(session, "lost")
        stage.daemon.reply(session, "kept", step=1)
        session.log[3] = session.log[2]  # what was there cannot be read any more
        await stage.daemon.start()
        await stage.tape.printed(SEAM)
        await stage.tape.printed("kept")
        assert "lost" not in stage.tape.lines
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.daemon.stop()

    asyncio.run(main())
