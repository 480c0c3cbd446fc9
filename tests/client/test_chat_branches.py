"""Going on in a copy, going back to an earlier message, writing the conversation to a file: from within the chat."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentwire.errors import Conflict
from tests.client.test_chat_link import Play, Stage, play

__all__ = ["play"]


async def said(stage: Stage, text: str) -> None:
    """A turn with an answer."""
    session = next(reversed(stage.daemon.sessions.values()), None)
    await stage.begin_turn(text)
    session = session or stage.daemon.only
    stage.daemon.reply(session, f"about {text}")
    stage.daemon.finish(session)
    await stage.tape.until(lambda: stage.chat.transcript.turn is None)


def test_fork(play: Play) -> None:
    """The chat goes on in the copy; what is on the screen is not printed again; the next message is the copy's."""

    async def script(stage: Stage) -> None:
        stage.chat.entered("/fork")
        await stage.tape.printed("there is nothing to copy yet")
        await said(stage, "one")
        stage.chat.entered("/fork the other way")
        await stage.tape.printed("── session 000000a2: this is a copy of session 000000a1 ──")
        asked = await stage.daemon.called("session/fork")
        assert (asked["session"][:8], asked["title"]) == ("000000a1", "the other way")
        assert stage.chat.transcript.title == "the other way"
        assert stage.tape.lines.count("> one") == 1
        await said(stage, "two")
        assert (await stage.daemon.called("session/prompt", 2))["session"].startswith("000000a2")
        assert [past.text for past in stage.chat.transcript.inputs] == ["one", "two"]

    play(script)


def test_fork_while_a_turn_runs(play: Play) -> None:
    """The turn goes on where it is, and that is said."""

    async def script(stage: Stage) -> None:
        await stage.begin_turn("one")
        stage.chat.entered("/fork")
        await stage.tape.printed("this is a copy of session 000000a1; its running turn goes on there")
        assert stage.chat.transcript.turn is None

    play(script)


def test_rewind(play: Play) -> None:
    """Esc Esc lists what was said; a number goes back to before it and gives the text back to be changed."""

    async def script(stage: Stage) -> None:
        stage.chat.entered("/rewind 1")
        await stage.tape.printed("there is no earlier message to go back to")
        await said(stage, "one")
        await said(stage, "two")
        stage.chat.rewind()
        assert stage.tape.lines[-2:] == ["   1  one", "   2  two"]
        assert stage.tape.filled == "/rewind "
        assert "type the number" in stage.chat.status()
        stage.chat.entered("/rewind 3")
        assert stage.tape.lines[-1].startswith("/rewind NUMBER: from 1 to 2, your last message")
        stage.chat.entered("/rewind 2")
        await stage.tape.until(lambda: stage.tape.filled == "two")
        assert stage.tape.lines[-1] == "── session 000000a2: back to before 'two'; session 000000a1 keeps what came after ──"
        assert [past.text for past in stage.chat.transcript.inputs] == ["one"]
        old = stage.daemon.sessions["000000a1" + "0" * 24]
        asked = await stage.daemon.called("session/fork")
        assert old.log[asked["seq"]]["kind"] == "turn_started"

    play(script)


def test_rewind_that_is_refused(play: Play) -> None:
    """The session stays what it was."""

    async def script(stage: Stage) -> None:
        await said(stage, "one")
        stage.daemon.refuse["session/fork"] = Conflict("event 2 is in the middle of a step")
        stage.chat.entered("/rewind 1")
        await stage.tape.printed("error: event 2 is in the middle of a step")
        assert stage.chat.transcript.session.startswith("000000a1")

    play(script)


@pytest.mark.parametrize(("name", "written"), [("", "session-000000a1.md"), ("talk.json", "talk.json")])
def test_export(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, written: str) -> None:
    """A file in the chat's directory, named after the session if it has no name; never over another."""

    async def script(stage: Stage) -> None:
        stage.chat.entered("/export")
        await stage.tape.printed("there is nothing to export yet")
        await said(stage, "one")
        stage.chat.entered(f"/export {name}")
        await stage.tape.printed(f"exported to {tmp_path / written}")
        assert "about one" in (tmp_path / written).read_text()
        stage.chat.entered(f"/export {name}")
        await stage.tape.printed("exists already; /export FILE takes another name")
        stage.chat.entered("/export /nowhere/x.md")
        await stage.tape.printed("not exported: /nowhere")

    play(script, cwd=str(tmp_path))
