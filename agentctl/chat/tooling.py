"""What the user does about tools in a chat: the mode, the rules, the list of tools, to-do lists and jobs, commands of his own."""

from __future__ import annotations

import uuid
from typing import Any, Final, Protocol

from agentctl.chat import render
from agentctl.chat.connection import Connection
from agentctl.chat.link import Link
from agentctl.chat.render import Line, line
from agentctl.chat.view import Transcript
from agentctl.text import one_line

MODES: Final = ("default", "accept-edits", "plan", "dont-ask", "bypass")
CYCLE: Final = MODES[:3]
"""What Shift+Tab goes through: nobody ends up in the others by accident."""
_MARKS: Final = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]"}
_VERDICTS: Final = ("allow", "ask", "deny")


class Host(Protocol):
    """The chat."""

    transcript: Transcript
    link: Link
    hint: str

    def say(self, *news: Line) -> None: ...
    async def session(self, connection: Connection) -> str:
        """The session's id; one is made if there is none yet."""


class Tooling:
    """The commands. What one needs of the daemon it does as a job of the chat's link."""

    def __init__(self, chat: Host) -> None:
        self._chat = chat

    def run(self, name: str, argument: str) -> bool:
        """A slash command; False if it is none of these."""
        match name:
            case "mode":
                self.mode(argument)
            case "permissions":
                self.permissions(argument)
            case "tools":
                self.tools()
            case "todo":
                self.todos()
            case _:
                return False
        return True

    # --- mode ----------------------------------------------------------------------------------------------------------------

    def mode(self, name: str) -> None:
        """Changes the permission mode; without a name, tells it."""
        if not name:
            self._notice(f"mode {self._chat.transcript.mode or 'default'}; /mode NAME takes one of {', '.join(MODES)}")
        elif name not in MODES:
            self._warn(f"there is no mode {one_line(name, 40)}; there are {', '.join(MODES)}")
        else:
            if name == "bypass":
                self._warn("mode bypass: everything is allowed but what a rule denies, and nothing is walled in")
            self._chat.link.do(lambda connection: self._set_mode(connection, name))

    def next_mode(self) -> None:
        """One further in CYCLE."""
        now = self._chat.transcript.mode or CYCLE[0]
        place = CYCLE.index(now) + 1 if now in CYCLE else 0
        self.mode(CYCLE[place % len(CYCLE)])

    async def _set_mode(self, connection: Connection, name: str) -> None:
        session = await self._chat.session(connection)
        await connection.call("session/set", {"session": session, "preferences": {"mode": name}})

    # --- rules ---------------------------------------------------------------------------------------------------------------

    def permissions(self, argument: str) -> None:
        """Lists the rules, or changes one of the session."""
        words = argument.split(maxsplit=2)
        if not words:
            self._chat.link.do(self._list_rules)
        elif len(words) == 3 and words[0] in ("add", "remove") and words[1] in _VERDICTS:
            self._chat.link.do(lambda connection: self._change_rule(connection, *words))
        else:
            self._warn("/permissions add|remove allow|ask|deny RULE: for example /permissions add allow shell(npm install *)")

    async def _list_rules(self, connection: Connection) -> None:
        session = await self._chat.session(connection)
        told = await connection.call("permission/list", {"session": session})
        rules = [rule for rule in told["rules"] if rule["scope"] != "built-in"]
        rows = [
            f"  {rule['verdict']:6}{one_line(rule['rule'], 120)}  ({one_line(rule['source'] or rule['scope'], 60)})"
            for rule in rules
        ]
        untrusted = [f"  {told['untrusted']} has rules that do not count; `agentctl permission trust`"] if told["untrusted"] else []
        self._notice(f"mode {told['mode']}", *(rows or ["  no rules but the built-in ones"]), *untrusted)

    async def _change_rule(self, connection: Connection, what: str, verdict: str, rule: str) -> None:
        session = await self._chat.session(connection)
        await connection.call(f"permission/{what}", {"session": session, "rule": rule, "verdict": verdict})
        self._notice(f"{'from now on' if what == 'add' else 'not any more'}, in this session: {verdict} {rule}")

    # --- looking -------------------------------------------------------------------------------------------------------------

    def tools(self) -> None:
        """Lists the tools."""
        self._chat.link.do(self._list_tools)

    async def _list_tools(self, connection: Connection) -> None:
        tools = (await connection.call("tool/list", {}))["tools"]
        self._notice(*(_tool(tool) for tool in tools))

    def todos(self) -> None:
        """The to-do list, and what runs in the background."""
        view = self._chat.transcript
        rows = [f"  {_MARKS.get(todo['state'], '[ ]')} {one_line(todo['text'], 120)}" for todo in view.todos]
        jobs = [f"  job {number}: {one_line(command, 120)}" for number, command in view.jobs.items()]
        self._notice(*(rows + jobs or ["nothing is on the to-do list, and nothing runs in the background"]))

    def details(self) -> None:
        """Shows the last call whole, and from then on each; or no more."""
        view = self._chat.transcript
        view.detailed = not view.detailed
        last = render.details(*view.last) if view.detailed and view.last else []
        self._chat.say(line(f"details of tool calls: {'on' if view.detailed else 'off'}", "notice"), *last)

    # --- a command of one's own ------------------------------------------------------------------------------------------------

    def shell(self, command: str) -> None:
        """Runs it in the session's directory, in the sandbox; the model does not hear of it."""
        key = uuid.uuid4().hex

        async def run(connection: Connection) -> None:
            session = await self._chat.session(connection)
            arguments = {"command": command}
            done = await connection.call("tool/call", {"name": "shell", "arguments": arguments, "session": session, "key": key})
            text = render.text_of(done["parts"]).rstrip("\n")
            style = "" if done["outcome"] == "ok" else "warning"
            self._chat.say(line(f"! {one_line(command, 200)}", "user"), *render.lines(text or "(no output)", style))

        self._chat.link.do(run)

    def _notice(self, *rows: str) -> None:
        self._chat.say(*(line(row, "notice") for row in rows))

    def _warn(self, row: str) -> None:
        self._chat.say(line(row, "warning"))


def _tool(tool: dict[str, Any]) -> str:
    used = f"  {tool['calls']} calls" if tool["calls"] else ""
    return f"  {one_line(tool['name'], 40):16}{one_line(tool['source'], 20):12}{one_line(tool['description'], 70)}{used}"
