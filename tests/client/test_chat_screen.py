"""The terminal side: what keys do, what is drawn, and that the terminal is left as it was."""

from __future__ import annotations

import asyncio  # noqa: TID251  # the chat's loop
import io
import os
import signal
import stat
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.utils import get_cwidth

from agentctl.chat import app
from agentctl.chat.keys import EXIT_HINT, REWIND_HINT, bindings
from agentctl.chat.render import Line
from agentctl.chat.screen import OneWrite, Screen, clip, extra_rows, wrap
from agentwire.errors import InvalidParams
from agentwire.paths import Paths, locate
from tests.fakes.chat_daemon import PATIENCE, FakeDaemon


class Wire(io.StringIO):
    """What reaches the terminal, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)

    @property
    def text(self) -> str:
        return "".join(self.writes)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0)  # what a test waits for need not write anything


class Content:
    """What the live area shows, and what the keys did."""

    def __init__(self) -> None:
        self.hint = ""
        self.did: list[tuple[str, Any]] = []
        self.changed = asyncio.Event()
        self.lines: list[Line] = []
        self.accepts, self.running = True, True
        self.screen: Screen | None = None

    def tail(self) -> Sequence[Line]:
        return self.lines

    def waiting(self) -> Sequence[Line]:
        return [Line("  queued: later", "queued")] * 7

    def status(self) -> str:
        return self.hint or "idle"

    def asking(self) -> bool:
        return not self.accepts

    def edited(self) -> None:
        self.hint = ""

    def entered(self, text: str) -> bool:
        self._note("entered", text)
        return self.accepts

    def steer(self, text: str) -> None:
        self._note("steer", text)

    def next_mode(self) -> None:
        self._note("mode", None)

    def show_todos(self) -> None:
        self._note("todos", None)

    def toggle_details(self) -> None:
        self._note("details", None)

    def interrupt(self) -> bool:
        self._note("interrupt", None)
        return self.running

    def rewind(self) -> None:
        self._note("rewind", None)

    def leave(self, code: int) -> None:
        assert self.screen
        self.screen.leave(code)

    def _note(self, what: str, value: Any) -> None:
        self.did.append((what, value))
        self.changed.set()

    async def done(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.did) < count:
                self.changed.clear()
                await self.changed.wait()


class Terminal:
    """A screen on a terminal of ours."""

    def __init__(self, keyboard: PipeInput) -> None:
        self.keyboard, self.content, self.wire = keyboard, Content(), Wire()
        self.size = Size(rows=24, columns=40)
        output = OneWrite(self.wire, lambda: self.size, term="xterm", enable_cpr=False)
        self.screen = Screen(self.content, bindings(self.content), output=output, input=keyboard)
        self.content.screen = self.screen


Script = Callable[[Terminal], Awaitable[None]]


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


@pytest.fixture
def on_screen(keyboard: PipeInput) -> Callable[[Script], int]:
    """Runs a script beside a screen; returns the screen's exit code."""

    def run(script: Script) -> int:
        async def main() -> int:
            terminal = Terminal(keyboard)
            running = asyncio.create_task(terminal.screen.run())
            await terminal.wire.until(lambda: "idle" in terminal.wire.text)
            await script(terminal)
            return await asyncio.wait_for(running, PATIENCE)

        return asyncio.run(main())

    return run


OnScreen = Callable[[Script], int]


def test_keys(on_screen: OnScreen) -> None:
    """Enter sends, Alt+Enter and Ctrl+J begin lines, Alt+S steers, Esc interrupts; pasted newlines do not send; Ctrl+D leaves."""

    async def script(terminal: Terminal) -> None:
        keyboard, content = terminal.keyboard, terminal.content
        keyboard.send_text("one\x1b\rtwo\nthree\r")
        keyboard.send_text("\x1b[200~pasted\nlines\x1b[201~\r")
        keyboard.send_text("this\x1bs")
        keyboard.send_text("\r  \r")
        await content.done(3)
        keyboard.send_text("\x1b")
        await content.done(4)
        assert content.did == [
            ("entered", "one\ntwo\nthree"),
            ("entered", "pasted\nlines"),
            ("steer", "this"),
            ("interrupt", None),
        ]

        keyboard.send_text("\x15\x04")  # the blanks are still there: Ctrl+D leaves only an empty input

    assert on_screen(script) == 0


def test_keys_that_show_and_switch(on_screen: OnScreen) -> None:
    """Shift+Tab, Ctrl+T and Ctrl+O, whatever is in the input, which they leave alone."""

    async def script(terminal: Terminal) -> None:
        terminal.keyboard.send_text("half\x1b[Z\x14\x0f a line\r")
        await terminal.content.done(4)
        assert terminal.content.did == [("mode", None), ("todos", None), ("details", None), ("entered", "half a line")]
        terminal.keyboard.send_text("\x04")

    assert on_screen(script) == 0


def test_esc_esc_rewinds(on_screen: OnScreen) -> None:
    """Esc interrupts while a turn runs; else it says that another goes back; not where something is typed, not after typing."""

    async def script(terminal: Terminal) -> None:
        keyboard, content, wire = terminal.keyboard, terminal.content, terminal.wire
        keyboard.send_text("\x1b")
        await content.done(1)
        assert content.hint == ""
        content.running = False
        keyboard.send_text("\x1b")
        await wire.until(lambda: content.hint == REWIND_HINT)
        keyboard.send_text("x")
        await wire.until(lambda: content.hint == "")
        keyboard.send_text("\x1b")
        await content.done(3)
        assert content.hint == ""
        keyboard.send_text("\x7f\x1b\x1b")
        await content.done(6)
        assert [what for what, _ in content.did] == ["interrupt"] * 5 + ["rewind"]
        keyboard.send_text("\x04")

    assert on_screen(script) == 0


def test_fill(on_screen: OnScreen) -> None:
    """Text that the chat puts into the input stands before what was typed meanwhile, with the cursor between."""

    async def script(terminal: Terminal) -> None:
        terminal.keyboard.send_text("typed")
        await terminal.wire.until(lambda: terminal.screen.buffer.text == "typed")
        terminal.screen.fill("given\nback ")
        assert terminal.screen.buffer.text == "given\nback typed"
        terminal.keyboard.send_text("and \r")
        await terminal.content.done(1)
        assert terminal.content.did == [("entered", "given\nback and typed")]
        terminal.keyboard.send_text("\x15\x03\x03")

    assert on_screen(script) == 0


def test_ctrl_c_clears_then_leaves(on_screen: OnScreen) -> None:
    """The first clears and says so; typing takes the warning back; a second on an empty line leaves."""

    async def script(terminal: Terminal) -> None:
        keyboard, wire = terminal.keyboard, terminal.wire
        keyboard.send_text("text\x03")
        await wire.until(lambda: terminal.content.hint == EXIT_HINT)
        keyboard.send_text("x")
        await wire.until(lambda: not terminal.content.hint)
        assert terminal.screen.buffer.text == "x"
        keyboard.send_text("\x03\x03")

    assert on_screen(script) == 0


def test_an_answer_that_is_none_stays_in_the_input(on_screen: OnScreen) -> None:
    """What the chat does not take is not thrown away."""

    async def script(terminal: Terminal) -> None:
        terminal.content.accepts = False
        terminal.keyboard.send_text("maybe\r")
        await terminal.content.done(1)
        assert terminal.screen.buffer.text == "maybe"
        terminal.keyboard.send_text("\x15\x04")

    assert on_screen(script) == 0


def test_history_search(on_screen: OnScreen) -> None:
    """Ctrl+R finds what was sent; Up brings it back."""

    async def script(terminal: Terminal) -> None:
        def loaded() -> bool:
            """prompt_toolkit loads the history behind a redraw; only then is there something to find."""
            return len(terminal.screen.buffer._working_lines) == 3

        terminal.keyboard.send_text("alpha\rbeta\r")
        await terminal.content.done(2)
        await terminal.wire.until(loaded)
        terminal.keyboard.send_text("\x1b[A\r")
        await terminal.content.done(3)
        assert terminal.content.did[2] == ("entered", "beta")
        await terminal.wire.until(loaded)
        terminal.keyboard.send_text("\x12alp\r")
        await terminal.wire.until(lambda: terminal.screen.buffer.text == "alpha")
        terminal.keyboard.send_text("\r")
        await terminal.content.done(4)
        assert terminal.content.did[3] == ("entered", "alpha")
        terminal.keyboard.send_text("\x04")

    assert on_screen(script) == 0


def test_lines_are_printed_and_drawn_in_one_write(on_screen: OnScreen) -> None:
    """Erase, print and the new live area reach the terminal together; escape characters of a line are not obeyed."""

    async def script(terminal: Terminal) -> None:
        terminal.content.lines = [Line("half a line")]
        terminal.screen.show([Line("\x1b[2Jfinished", "heading"), Line("and more")])
        await terminal.wire.until(lambda: "half a line" in terminal.wire.text)
        (write,) = [write for write in terminal.wire.writes if "finished" in write]
        assert write.index("finished") < write.index("and more") < write.index("half a line") < write.index("idle")
        assert "\x1b[2J" not in write
        terminal.keyboard.send_text("\x04")

    assert on_screen(script) == 0


def test_a_narrower_terminal_is_cleaned_up(on_screen: OnScreen) -> None:
    """After a resize the redraw goes up over every row that the live area takes now."""

    async def script(terminal: Terminal) -> None:
        terminal.content.lines = [Line("x" * 39)]
        terminal.screen.refresh()
        await terminal.wire.until(lambda: "x" * 39 in terminal.wire.text)
        seen = len(terminal.wire.writes)
        terminal.size = Size(rows=24, columns=20)
        terminal.screen.refresh()
        await terminal.wire.until(lambda: len(terminal.wire.writes) > seen)
        assert "\x1b[A" in terminal.wire.writes[seen]  # the tail's row is two rows now: one more than was drawn
        terminal.keyboard.send_text("\x04")

    assert on_screen(script) == 0


def test_the_end_of_the_terminal_is_the_end(on_screen: OnScreen) -> None:
    """When the keyboard closes the chat leaves as if told to."""

    async def script(terminal: Terminal) -> None:
        terminal.keyboard.close()

    assert on_screen(script) == 0


@given(st.text(alphabet="ab 中é"), st.integers(2, 20))
def test_wrap_fits_and_loses_nothing(text: str, columns: int) -> None:
    """Rows are at most as wide as the terminal, and together they are the text but for the blanks that a break stands for."""
    rows = wrap(text, columns)
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")
    assert all(get_cwidth(row) <= columns for row in rows)
    if max(map(get_cwidth, text.split()), default=0) <= columns // 2:
        assert [word for row in rows for word in row.split()] == text.split(), "no word is cut that fits"


def test_clip() -> None:
    """Too long a text ends in an ellipsis, counted in cells."""
    assert clip("abcdef", 7) == "abcdef"
    assert clip("abcdef", 5) == "abcd…"
    assert clip("中中中", 5) == "中中…"


def test_extra_rows() -> None:
    """Only rows above the cursor, and what the cursor's own row has put above it, count."""
    assert extra_rows([90, 10, 3, 80], 2, 2, 60) == 1
    assert extra_rows([90, 130, 3], 2, 2, 60) == 3
    assert extra_rows([10], 65, 0, 60) == 1
    assert extra_rows([0, 60], 0, 1, 60) == 0


# --- the whole program -----------------------------------------------------------------------------------------------------------


def home(folder: Path) -> Paths:
    paths = locate({"AGENTD_HOME": str(folder)}, os.getuid())
    Path(paths.runtime).mkdir(mode=0o700, parents=True, exist_ok=True)
    return paths


OPTIONS = Namespace(prompt=[], session="", continue_last=False, model="", fallback_model="")


def converse(folder: Path, keyboard: PipeInput, script: Callable[[FakeDaemon, Wire], Awaitable[None]]) -> tuple[int, list[str]]:
    async def main() -> tuple[int, list[str]]:
        wire, daemon = Wire(), FakeDaemon(home(folder).socket)
        await daemon.start()
        output = OneWrite(wire, lambda: Size(rows=24, columns=80), term="xterm", enable_cpr=False)
        running = asyncio.create_task(app.converse(home(folder), OPTIONS, {}, output=output, input=keyboard))
        await wire.until(lambda: "idle" in wire.text)
        await script(daemon, wire)
        end = await asyncio.wait_for(running, PATIENCE)
        await daemon.stop()
        return end

    return asyncio.run(main())


def test_a_conversation_from_key_to_farewell(tmp_path: Path, keyboard: PipeInput) -> None:
    """A typed line reaches the daemon, its answer the terminal; the farewell names the session; the history is ours alone."""

    async def script(daemon: FakeDaemon, wire: Wire) -> None:
        keyboard.send_text("hello\r")
        await daemon.called("session/get")
        daemon.delta(daemon.only, 0, "streamed\nlin")
        await wire.until(lambda: "lin" in wire.text)
        keyboard.send_text("\x04")

    code, farewell = converse(tmp_path, keyboard, script)
    assert code == 0
    assert farewell == ["the turn goes on in the daemon; to come back: agentctl chat -s 000000a1"]
    file = Path(home(tmp_path).history)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "+hello" in file.read_text()


def test_signals_end_the_chat_and_restore_the_terminal(tmp_path: Path, keyboard: PipeInput) -> None:
    """SIGTERM and SIGHUP leave with 128 + number; the cursor is shown and bracketed paste is off again."""
    for number in app.GONE:
        wires: list[Wire] = []

        async def script(daemon: FakeDaemon, wire: Wire, number: signal.Signals = number, wires: list[Wire] = wires) -> None:
            wires.append(wire)
            os.kill(os.getpid(), number)

        code, farewell = converse(tmp_path, keyboard, script)
        assert code == 128 + number
        assert farewell == []
        assert wires[0].text.rindex("\x1b[?2004l") > wires[0].text.rindex("\x1b[?2004h")
        assert wires[0].text.rindex("\x1b[?25h") > wires[0].text.rindex("\x1b[?25l")


def test_what_was_not_sent_is_named(tmp_path: Path, keyboard: PipeInput) -> None:
    """Leaving while the daemon is gone says which messages never arrived."""

    async def script(daemon: FakeDaemon, wire: Wire) -> None:
        daemon.cut_before.add("session/create")
        keyboard.send_text("lost words\r")
        await daemon.called("session/create")
        await daemon.stop()
        keyboard.send_text("\x04")

    code, farewell = converse(tmp_path, keyboard, script)
    assert code == 0
    assert farewell == ["not sent: lost words"]


def test_without_a_terminal_the_chat_says_what_to_use(tmp_path: Path) -> None:
    """Under a test runner stdin is no terminal: an error with advice, before anything is started."""
    with pytest.raises(InvalidParams, match="agentctl run"):
        app.main(home(tmp_path), OPTIONS)


def test_a_history_that_cannot_be_kept_costs_nothing_else(tmp_path: Path) -> None:
    """A file where the directory should be: the history lives in memory. A file that vanishes: nothing breaks."""
    (tmp_path / "file").write_text("")
    app.history(str(tmp_path / "file" / "history")).append_string("x")
    kept = app.history(str(tmp_path / "dir" / "history"))
    (tmp_path / "dir" / "history").unlink()
    (tmp_path / "dir").rmdir()
    kept.append_string("x")
    assert list(kept.load_history_strings()) == []
