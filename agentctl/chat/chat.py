"""The chat itself: one session, what the user does with it, and what the screen shows of it."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agentctl import arguments, choosing
from agentctl.chat import attach, commands, questions, render
from agentctl.chat.branches import Branches
from agentctl.chat.connection import Connection, Event
from agentctl.chat.link import Job, Link
from agentctl.chat.render import Line, line, seam
from agentctl.chat.tooling import Tooling
from agentctl.chat.view import Transcript
from agentctl.client import tool_environment
from agentctl.text import one_line
from agentwire.errors import AgentError, Conflict, InvalidParams, NotFound
from agentwire.paths import Paths

RECENT = 10
"""Sessions that /resume lists."""


class Screen(Protocol):
    """Where lines go."""

    def show(self, lines: Sequence[Line]) -> None: ...
    def fill(self, text: str) -> None: ...
    def refresh(self) -> None: ...
    def leave(self, code: int) -> None: ...


class Chat:
    """One chat. `run` returns only by cancellation, or raises if no daemon can be had. A lock keeps events and attaching apart."""

    def __init__(self, paths: Paths, options: Namespace, environ: Mapping[str, str], cwd: str, screen: Screen) -> None:
        self._options, self._environ, self._cwd, self._screen = options, environ, cwd, screen
        self.transcript = Transcript(model=options.model or "")
        self.hint = ""
        self.link = Link(paths, environ, self)
        self._branches, self._tooling = Branches(self, paths, cwd), Tooling(self)
        self._lock = asyncio.Lock()
        self._model = options.model or ""  # for the next messages; empty: the session's
        self._fallback = options.fallback_model
        self._listed: list[str] = []  # the sessions of the last /resume
        self._stopped = False  # the daemon said that it stops

    async def run(self) -> None:
        """Talks with the daemon until cancelled."""
        words = " ".join(self._options.prompt)
        if words.strip():
            self._prompt(words, "queue")
        await self.link.run()

    # --- what the screen shows (screen.Content) ---------------------------------------------------------------------------------

    def tail(self) -> Sequence[Line]:
        return self.transcript.tail()

    def waiting(self) -> Sequence[Line]:
        queued = [render.waiting(item.text, item.delivery) for item in self.transcript.queue.values()]
        return queued + [render.waiting(job.label, "sending") for job in self.link.outbox if job.label]

    def asking(self) -> bool:
        return bool(self.transcript.approvals)

    def status(self) -> str:
        view = self.transcript
        title = one_line(view.title, 40) or (render.short(view.session) if view.session else "new session")
        queued = f"{len(view.queue)} queued" if view.queue else ""
        # What matters now comes first: a narrow terminal cuts the end.
        mode = f"mode {view.mode}" if view.mode not in ("", "default") else ""
        fields = [self._activity(), mode, queued, title, self._answering(), render.tokens(view.usage)]
        return self.hint or " · ".join(filter(None, fields))

    def _answering(self) -> str:
        """The model that was chosen, and who answered last, if that is another."""
        chosen, answered = self._model or self.transcript.model, self.transcript.answered
        return one_line(f"{chosen} → {answered}" if answered and answered != chosen else chosen, 80)

    def edited(self) -> None:
        self.hint = ""

    def _activity(self) -> str:
        view = self.transcript
        if not self.link.up:
            return one_line(self.link.trouble, 120) or "connecting to the daemon"
        if view.approvals:
            return questions.prompt(next(iter(view.approvals.values())))
        return "running, Esc interrupts" if view.turn is not None else "idle"

    def say(self, *news: Line) -> None:
        self._screen.show(self.transcript.note(*news))

    def fill(self, text: str) -> None:
        self._screen.fill(text)

    # --- what the user does (keys.Actions) --------------------------------------------------------------------------------------

    def entered(self, text: str) -> bool:
        """A line from the input. False: it stays there (a question is open and this is no answer)."""
        command = commands.parse(text)
        if command is not None:
            self._run_command(command)
            return True
        if self.transcript.approvals:
            return self._answer(text)
        if text.startswith("!") and text[1:].strip():
            self._tooling.shell(text[1:].strip())
            return True
        self._prompt(text, "queue")
        return True

    def steer(self, text: str) -> None:
        """A message to the running turn; without one it is an ordinary message."""
        self._prompt(text, "steer" if self.transcript.turn is not None else "queue")

    def interrupt(self) -> bool:
        """Stops the running turn; False if none runs."""
        running = self.transcript.turn is not None
        if running and self.link.up:
            self.link.do(self._cancel)
        return running

    def rewind(self) -> None:
        """Shows what can be gone back to."""
        self._branches.rewind("")

    def next_mode(self) -> None:
        self._tooling.next_mode()

    def show_todos(self) -> None:
        self._tooling.todos()

    def toggle_details(self) -> None:
        self._tooling.details()

    def leave(self, code: int) -> None:
        """Ends the chat; the session goes on."""
        self._screen.leave(code)

    def _prompt(self, text: str, delivery: str) -> None:
        text, create_key, key, models = text.strip("\n"), uuid.uuid4().hex, uuid.uuid4().hex, list[str]()

        async def send(connection: Connection) -> None:
            await self.session(connection, create_key)
            models.append(self._models)  # what a /model before it chose; the same when it is sent again
            parts = [{"kind": "text", "text": text}]
            params = {"session": self.transcript.session, "parts": parts, "delivery": delivery, "interactive": True}
            params["model"] = models[0]
            await connection.call("session/prompt", {**params, "key": key})
            if not self.transcript.title:  # the daemon makes one of the first message
                self.transcript.title = (await connection.call("session/get", {"session": params["session"]}))["title"]

        self.link.do(send, text)

    async def session(self, connection: Connection, key: str = "") -> str:
        """The session's id; one is made if there is none yet. `key` makes it the same one when this is tried again."""
        if not self.transcript.session:
            await self._create(connection, key or uuid.uuid4().hex)
        return self.transcript.session

    async def _create(self, connection: Connection, key: str) -> None:
        environment = tool_environment(self._environ)
        params = {"cwd": self._cwd, "model": self._models, "environment": environment, "key": key}
        await self._attach(connection, (await connection.call("session/create", params))["id"])

    async def _cancel(self, connection: Connection) -> None:
        await connection.call("session/cancel", {"session": self.transcript.session})

    def _answer(self, text: str) -> bool:
        approval = next(iter(self.transcript.approvals.values()))
        answer = questions.answer(text, approval)
        if answer is None:
            self.hint = questions.hint(approval)
            return False
        session = self.transcript.session

        async def send(connection: Connection) -> None:
            bound = {"session": session, "call": approval.call, "arguments_hash": approval.arguments_hash}
            try:
                await connection.call("approval/answer", {**bound, **answer._asdict()})
            except (Conflict, NotFound) as error:
                self.transcript.approvals.pop(approval.call, None)
                self.say(line(f"too late: {error.message}", "warning"))

        self.link.do(send)
        return True

    # --- slash commands ---------------------------------------------------------------------------------------------------------

    def _run_command(self, command: commands.Command) -> None:
        name, argument = command
        match name:
            case "help":
                self.say(*(line(row, "notice") for row in commands.help_rows()))
            case "new":
                self.link.do(self._begin_anew)
            case "resume":
                self.link.do(lambda connection: self._resume(connection, argument))
            case "fork" | "rewind" | "export":
                getattr(self._branches, name)(argument)
            case "model":
                self._choose_model(argument)
            case "cost" | "status":
                self.link.do(self._show_cost if name == "cost" else self._show_status)
            case "queue" | "steer" | "interrupt" if argument:
                self._prompt(argument, name if self.transcript.turn is not None else "queue")
            case "queue":
                self.say(*self.waiting() or [line("nothing waits", "notice")])
            case "interrupt":
                self.interrupt()
            case "steer":
                self.say(line("/steer TEXT: what should the running turn be told?", "warning"))
            case "quit" | "exit":
                self.leave(0)
            case _ if not self._tooling.run(name, argument):
                self.say(line(commands.unknown(name), "warning"))

    @property
    def _models(self) -> str:
        first = self._model or self.transcript.model.partition(",")[0]
        return arguments.models(first, self._fallback) if self._fallback else self._model

    def _choose_model(self, name: str) -> None:
        if not name:
            self.link.do(self._list_models)
            return
        self.link.do(lambda connection: self._take_model(connection, name))

    async def _take_model(self, connection: Connection, name: str) -> None:
        """From the next message on; what is wrong with it is said now."""
        resolved = await connection.call("model/resolve", {"model": name})
        self._model = resolved["model"]
        self.say(line(f"from the next message on: {one_line(self._model, 200)}", "notice"))
        self._remark(name, resolved)

    def _remark(self, name: str, resolved: Mapping[str, Any]) -> None:
        self.say(*(line(remark, "warning") for remark in choosing.remarks(name, resolved, self.transcript.attached)))

    async def _begin_anew(self, connection: Connection) -> None:
        async with self._lock:
            await attach.unwatch(connection, self.transcript.session)
            self.transcript = Transcript(model=connection.initialized["model"], after=self.transcript)
        self.say(line("new session: it begins with your next message", "notice"))

    async def _resume(self, connection: Connection, choice: str) -> None:
        if not choice:
            await self._list_sessions(connection)
            return
        listed = choice.isdigit() and 1 <= int(choice) <= len(self._listed)
        info = await connection.call("session/get", {"session": self._listed[int(choice) - 1] if listed else choice})
        if info["id"] == self.transcript.session:
            self.say(line("this is the session you are in", "notice"))
            return
        await attach.unwatch(connection, self.transcript.session)
        self.say(seam(f"session {render.short(info['id'])} {one_line(info['title'], 60)}".rstrip()))
        await self._attach(connection, info["id"])

    async def _list_sessions(self, connection: Connection) -> None:
        sessions = (await connection.call("session/list", {"limit": RECENT}))["sessions"]
        self._listed = [info["id"] for info in sessions]
        rows = [commands.session_row(number, info) for number, info in enumerate(sessions, 1)]
        self.say(*(line(row, "notice") for row in rows or ["there are no sessions yet"]))

    async def _list_models(self, connection: Connection) -> None:
        models = (await connection.call("model/list", {}))["models"]
        self.say(*(line(commands.model_row(model), "notice") for model in models))

    async def _show_cost(self, connection: Connection) -> None:
        today = await connection.call("usage/get", {"since": time.time()})
        own = None
        if session := self.transcript.session:
            own = await connection.call("usage/get", {"by": "turn", "session": session, "limit": 1})
        self.say(*(line(row, "notice") for row in commands.cost_rows(own, today)))

    async def _show_status(self, connection: Connection) -> None:
        status = await connection.call("daemon/status", {})
        count = status["sessions"]
        sessions = "1 session" if count == 1 else f"{count} sessions"
        daemon = f"daemon {status['version']}, pid {status['pid']}, {sessions}, {status['running']} running"
        session = f"session {self.transcript.session or 'none yet'}, model {self._model or self.transcript.model}"
        warnings = (line(warning, "warning") for warning in status["warnings"])
        self.say(line(daemon, "notice"), line(session, "notice"), *warnings)

    # --- what the daemon does (link.Owner) --------------------------------------------------------------------------------------

    def wants_daemon(self) -> bool:
        return self.transcript.turn is not None and not self._stopped

    async def connected(self, connection: Connection, *, first: bool) -> None:
        self._stopped = False
        if first:
            await self._greet(connection)
        elif self.transcript.session:
            await self._attach(connection, self.transcript.session)

    async def received(self, connection: Connection, events: Sequence[Event]) -> None:
        async with self._lock:
            again = self._take(events)
        if again and self.transcript.session:
            await attach.unwatch(connection, self.transcript.session)
            await self._attach(connection, self.transcript.session)

    def disconnected(self) -> None:
        self.transcript.lost()
        self.changed()

    def failed(self, job: Job, error: AgentError) -> None:
        unsent = f" (not sent: {one_line(job.label, 60)})" if job.label else ""
        self.say(line(f"error: {one_line(error.message, 2000)}{unsent}", "error"))

    def changed(self) -> None:
        self._screen.refresh()

    def _take(self, events: Sequence[Event]) -> bool:
        """Applies events of our session; True if the watch must be begun again."""
        news: list[Line] = []
        lagged = False
        for event in events:
            if event["stream"] != self.transcript.session:
                continue
            if event["kind"] == "watch_closed":
                lagged |= event["data"]["reason"] == "lagged"
                news += self._closed(event["data"]["reason"])
            else:
                news += self.transcript.apply(event)
        self._screen.show(news)
        return lagged or self.transcript.missed

    def _closed(self, reason: str) -> list[Line]:
        self._stopped |= reason == "stopping"
        if reason != "deleted":
            return []
        self.transcript = Transcript(model=self.transcript.model, after=self.transcript)
        return self.transcript.note(seam("this session was deleted; your next message begins another"))

    async def _greet(self, connection: Connection) -> None:
        """The first lines: which session, which model, what the user should know."""
        told, session = connection.initialized, ""
        if self._options.session or self._options.continue_last:
            session = await attach.choose(connection, self._options.session or "", self._cwd)
        self.transcript.model = self._model or told["model"]
        name = f"session {render.short(session)}" if session else "new session"
        head = [line(f"agentd {told['version']} · {name} · {self.transcript.model} · /help", "notice")]
        if told.get("notice"):
            head.append(line(told["notice"], "notice"))
        if told["environment_differs"]:
            names = ", ".join(told["environment_differs"])
            head.append(line(f"the daemon has other values of {names}; `agentctl daemon restart` takes yours", "warning"))
        if self._options.continue_last and not session:
            head.append(line("no earlier session in this directory: this is a new one", "notice"))
        self.say(*head)
        if session:
            await self._attach(connection, session)
        if self._models and (choosing.needs_a_look(self._models) or self.transcript.attached):
            await self._look(connection, self._models)

    async def _look(self, connection: Connection, name: str) -> None:
        """At the model of the command line: what is wrong with it is said before anybody has typed a message."""
        try:
            self._remark(name, await connection.call("model/resolve", {"model": name}))
        except InvalidParams as error:
            self.say(line(f"error: {one_line(error.message, 2000)}", "error"))

    async def move(self, connection: Connection, session: str) -> None:
        """To another session, whose conversation is on the screen already."""
        await attach.unwatch(connection, self.transcript.session)
        await self._attach(connection, session, show=False)

    async def _attach(self, connection: Connection, session: str, *, show: bool = True) -> None:
        async with self._lock:
            if session != self.transcript.session:
                self.transcript = Transcript(after=self.transcript)
            self.transcript, news = await attach.attach(connection, session, self.transcript)
            if show:
                self._screen.show(news)


def here() -> str:
    """The working directory, even if it was deleted under us."""
    try:
        return os.getcwd()
    except OSError:
        return "/"
