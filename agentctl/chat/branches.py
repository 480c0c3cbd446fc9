"""What is done with a conversation as a whole: going on in a copy, going back to an earlier message, writing it to a file."""

from __future__ import annotations

import os
import uuid
from typing import Any, Protocol

from agentctl.archive import files
from agentctl.archive.source import Source
from agentctl.chat import commands, render
from agentctl.chat.connection import Connection, in_thread
from agentctl.chat.link import Link
from agentctl.chat.render import Line, line
from agentctl.chat.view import Transcript
from agentctl.client import Client
from agentctl.text import one_line
from agentwire.errors import AgentError
from agentwire.paths import Paths

RECENT = 10
"""Messages that /rewind lists."""


class Host(Protocol):
    """The chat."""

    transcript: Transcript
    link: Link
    hint: str

    def say(self, *news: Line) -> None: ...
    def fill(self, text: str) -> None:
        """Puts text into the input line."""

    async def move(self, connection: Connection, session: str) -> None:
        """To another session, whose conversation is on the screen already."""


class Branches:
    """The commands. What one needs of the daemon it does as a job of the chat's link."""

    def __init__(self, chat: Host, paths: Paths, cwd: str) -> None:
        self._chat, self._paths, self._cwd = chat, paths, cwd

    def fork(self, title: str) -> None:
        """Goes on in a copy of the session."""
        view = self._chat.transcript
        if view.session:
            running = "; its running turn goes on there" if view.turn is not None else ""
            self._go_on_in_copy({"title": title}, f"this is a copy of session {render.short(view.session)}{running}")
        else:
            self._say("there is nothing to copy yet: the session begins with your next message")

    def rewind(self, choice: str) -> None:
        """Without a choice the messages one can go back to; with a number, a copy of the session as it was before that one."""
        view = self._chat.transcript
        # Counted from the first that we know, so that a number means the same while others go on writing.
        past = list(enumerate(view.inputs, 1))
        if not past:
            self._say("there is no earlier message to go back to")
        elif not choice:
            self._chat.say(*(line(commands.input_row(number, said.text), "notice") for number, said in past[-RECENT:]))
            self._chat.fill("/rewind ")
            self._chat.hint = "type the number of the message to go back to, then Enter"
        elif not (choice.isdecimal() and 1 <= int(choice) <= len(past)):
            self._say(f"/rewind NUMBER: from 1 to {len(past)}, your last message; /rewind lists them")
        else:
            said = view.inputs[int(choice) - 1]
            told = f"back to before {one_line(said.text, 40)!r}; session {render.short(view.session)} keeps what came after"
            self._go_on_in_copy({"seq": said.seq}, told, fill=said.text)

    def export(self, name: str) -> None:
        """Writes the conversation to a file, which must not exist yet."""
        session = self._chat.transcript.session
        if not session:
            self._say("there is nothing to export yet: the session begins with your next message")
            return
        path = os.path.join(self._cwd, os.path.expanduser(name or f"session-{render.short(session)}.md"))

        async def run(_: Connection) -> None:
            trouble = await in_thread(lambda: self._save(session, path))
            self._chat.say(line(f"not exported: {trouble}", "error") if trouble else line(f"exported to {path}", "notice"))

        self._chat.link.do(run)

    def _save(self, session: str, path: str) -> str:
        """Why it failed; empty if it did not. Blocks."""
        if files.taken(path):
            return f"{path} exists already; /export FILE takes another name"
        try:
            with Client.connect(self._paths, start=False) as client:
                files.save(Source(client.call, session), path, files.format_of(path), force=False)
        except AgentError as error:
            return error.message
        except OSError as error:
            return f"{path}: {error.strerror or error}"
        return ""

    def _go_on_in_copy(self, which: dict[str, Any], told: str, fill: str = "") -> None:
        params = {"session": self._chat.transcript.session, **which, "key": uuid.uuid4().hex}

        async def run(connection: Connection) -> None:
            session = (await connection.call("session/fork", params))["id"]
            await self._chat.move(connection, session)
            self._chat.say(render.seam(f"session {render.short(session)}: {told}"))
            if fill:
                self._chat.fill(fill)

        self._chat.link.do(run)

    def _say(self, text: str) -> None:
        self._chat.say(line(text, "warning"))
