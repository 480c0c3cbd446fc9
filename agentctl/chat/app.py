"""`agentctl chat`: puts the chat on a terminal, and takes it off again however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from agentctl.chat import render
from agentctl.chat.chat import Chat, here
from agentctl.chat.keys import bindings
from agentctl.chat.render import Line
from agentctl.chat.screen import Screen, terminal
from agentctl.text import one_line
from agentwire.errors import InvalidParams
from agentwire.paths import Paths

GONE = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end the chat; the exit code is 128 + the number, as shells report it."""


def main(paths: Paths, options: Namespace) -> int:
    """Runs the chat on this terminal; returns the exit code. Raises AgentError if there is no terminal or no daemon to be had."""
    term = os.environ.get("TERM", "")
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or term in ("", "dumb"):
        raise InvalidParams("the chat needs a terminal; in a script or a pipe use `agentctl run`")
    color = not (getattr(options, "no_color", False) or os.environ.get("NO_COLOR"))
    output = terminal(term)
    code, parting = asyncio.run(converse(paths, options, os.environ, output=output, color=color))
    for text in parting:
        print(text)
    return code


async def converse(
    paths: Paths, options: Namespace, environ: Mapping[str, str], *, output: Output, input: Input | None = None, color: bool = False
) -> tuple[int, list[str]]:
    """The chat from the first line to the last; returns the exit code and what to say when the terminal is free again."""
    front = Front()
    chat = Chat(paths, options, environ, here(), front)
    screen = front.screen = Screen(chat, bindings(chat), output=output, input=input, history=history(paths.history), color=color)
    loop = asyncio.get_running_loop()
    for number in GONE:
        loop.add_signal_handler(number, screen.leave, 128 + number)
    network = asyncio.create_task(chat.run())
    network.add_done_callback(lambda _: screen.leave(1))
    try:
        code = await screen.run()
        unsent = await chat.link.drain() if not network.done() else []
    finally:
        network.cancel()
        for number in GONE:
            loop.remove_signal_handler(number)
    with suppress(asyncio.CancelledError):
        await unwrapped(network)
    return code, farewell(chat, unsent)


async def unwrapped(task: asyncio.Task[None]) -> None:
    """Waits for it; of a group of errors the first is raised, which caused the others."""
    try:
        await task
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def farewell(chat: Chat, unsent: Sequence[str]) -> list[str]:
    """The last lines: what was not sent, and how to come back."""
    lost = [f"not sent: {one_line(text, 200)}" for text in unsent]
    if not chat.transcript.session:
        return lost
    running = "the turn goes on in the daemon; " if chat.transcript.turn is not None else ""
    return [*lost, f"{running}to come back: agentctl chat -s {render.short(chat.transcript.session)}"]


class Front:
    """The screen as the chat sees it, before and after there is one."""

    screen: Screen | None = None

    def show(self, lines: Sequence[Line]) -> None:
        if self.screen:
            self.screen.show(lines)

    def fill(self, text: str) -> None:
        if self.screen:
            self.screen.fill(text)

    def refresh(self) -> None:
        if self.screen:
            self.screen.refresh()

    def leave(self, code: int) -> None:
        if self.screen:
            self.screen.leave(code)


class KeptHistory(FileHistory):
    """The history file; a disk that is full or read-only costs the history, not the chat."""

    def load_history_strings(self) -> Iterable[str]:
        with suppress(OSError):
            return list(super().load_history_strings())
        return []

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(string)


def history(path: str) -> History:
    """What was typed before, in a file that only its owner can read."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.chmod(path, 0o600)
    except OSError:
        return InMemoryHistory()
    return KeptHistory(path)
