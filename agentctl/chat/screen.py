"""The terminal: finished lines go into the scrollback, a small live area below them holds the tail, the input and the status.

Theory of operation: prompt_toolkit's `patch_stdout` erases, prints and redraws in three writes, through a thread and cooked mode;
that flickers and lags. Here lines that are to be printed wait for the next redraw, which erases the live area, prints them and
draws the area again in one write: nobody ever sees the terminal in between. No cursor position is asked for (the area is as high
as its content), so a terminal that does not answer does no harm. After a resize the terminal has rewrapped our rows; how many
rows they take now is computed from what was last drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Protocol

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindingsBase
from prompt_toolkit.layout import (
    AnyContainer,
    BufferControl,
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import TabsProcessor
from prompt_toolkit.layout.screen import Char
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth
from prompt_toolkit.widgets import SearchToolbar

from agentctl.chat.render import Line, line

STYLE = Style.from_dict(
    {
        "user": "bold",
        "heading": "bold",
        "fence": "ansibrightblack",
        "code": "ansicyan",
        "reasoning": "ansibrightblack italic",
        "tool": "ansigreen",
        "tool-bad": "ansiyellow",
        "added": "ansigreen",
        "removed": "ansired",
        "question": "bold ansiyellow",
        "seam": "ansibrightblack",
        "queued": "ansibrightblack",
        "notice": "ansibrightblack",
        "warning": "ansiyellow",
        "error": "ansired",
        "status": "ansibrightblack",
        "prompt": "bold ansiblue",
    }
)
REDRAW_SECONDS = 0.03
"""The live area is drawn at most this often, however fast the model is."""
INPUT_ROWS = 10
QUEUE_ROWS = 5
# How long a lone Esc waits to become Alt+key: what arrives in one read is one key; over a slow line it may be two.
ESCAPE_SECONDS, SEQUENCE_SECONDS = 0.05, 0.15


class Content(Protocol):
    """What the live area shows; asked at each redraw."""

    def tail(self) -> Sequence[Line]: ...
    def waiting(self) -> Sequence[Line]: ...
    def status(self) -> str: ...
    def edited(self) -> None: ...
    def asking(self) -> bool: ...


class OneWrite(Vt100_Output):
    """A terminal that can hold back flushes, so that erase, print and draw reach it in one write."""

    _held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is written inside; the next flush writes all of it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def flush(self) -> None:
        if not self._held:
            super().flush()


def terminal(term: str) -> OneWrite:
    """The terminal on stdout."""
    output = OneWrite.from_pty(sys.stdout, term=term, default_color_depth=ColorDepth.from_env())
    assert isinstance(output, OneWrite)
    output.enable_cpr = False
    return output


class ResizableApplication(Application[int]):
    """Redraws on a resize, and nothing else: `Screen` erases what the terminal has rewrapped, whichever redraw comes first."""

    def _on_resize(self) -> None:
        self._redraw()


def drawn_width(row: Mapping[int, Char]) -> int:
    """The cells of a row that were written: prompt_toolkit leaves out blanks at its end."""
    return max((column + cell.width for column, cell in row.items() if cell.char.strip()), default=0)


def extra_rows(widths: Sequence[int], cursor_x: int, cursor_y: int, columns: int) -> int:
    """By how many rows the area above the cursor has grown now that rows of these widths are wrapped at `columns`."""
    above = sum(max(-(-width // columns), 1) - 1 for width in widths[:cursor_y])
    return above + cursor_x // columns


def wrap(text: str, columns: int) -> list[str]:
    """`text` cut into rows of at most `columns` cells, between words where there are any; wide characters are never halved."""
    rows, row, used = [], "", 0
    for char in text:
        width = get_cwidth(char)
        if used + width > columns and row:
            full, row = (row, "") if char == " " else _at_word(row)
            rows.append(full)
            used = get_cwidth(row)
            if char == " ":
                continue  # the break stands for it
        row += char
        used += width
    return [*rows, row]


def _at_word(row: str) -> tuple[str, str]:
    """A full row and the beginning of the word that does not fit any more; a word as long as the row is cut."""
    head, space, word = row.rpartition(" ")
    return (head, word) if space and head.strip() else (row, "")


def rows_of(item: Line, columns: int) -> list[str]:
    """The rows a line is printed in. Code stays one line, whatever the width: it is there to be copied."""
    return [item.text] if item.style == "code" else wrap(item.text, columns)


def clip(text: str, columns: int) -> str:
    """The first row of `text`, with an ellipsis if there is more."""
    rows = wrap(text, max(columns - 1, 1))
    return rows[0] + ("…" if len(rows) > 1 else "")


class Screen:
    """The application: input line, live area, scrollback. `run` returns the exit code that `leave` was given."""

    def __init__(
        self,
        content: Content,
        keys: KeyBindingsBase,
        *,
        output: Output,
        input: Input | None = None,
        history: History | None = None,
        color: bool = True,
    ) -> None:
        self._content, self._output = content, output
        self._pending: list[Line] = []
        self._drawn = self._columns()  # the width that the live area was drawn for
        self.buffer = Buffer(name="input", multiline=True, history=history or InMemoryHistory())
        self.buffer.on_text_changed += lambda _: content.edited()
        self.app = ResizableApplication(
            layout=self._layout(),
            key_bindings=keys,
            style=STYLE,
            color_depth=None if color else ColorDepth.DEPTH_1_BIT,
            erase_when_done=True,
            min_redraw_interval=REDRAW_SECONDS,
            before_render=lambda _: self._prepare(),
            input=input,
            output=output,
        )
        self.app.ttimeoutlen, self.app.timeoutlen = ESCAPE_SECONDS, SEQUENCE_SECONDS

    def show(self, lines: Sequence[Line]) -> None:
        """Puts lines into the scrollback, above the live area, with the next redraw."""
        self._pending += lines
        self.app.invalidate()

    def fill(self, text: str) -> None:
        """Puts text into the input, before what is typed there, as if it had been typed."""
        self.buffer.document = Document(text + self.buffer.text, len(text))

    def refresh(self) -> None:
        """Redraws the live area soon."""
        self.app.invalidate()

    def leave(self, code: int) -> None:
        """Ends `run`; a second time is nothing."""
        if self.app.is_running and not self.app.is_done:
            self.app.exit(result=code)

    async def run(self) -> int:
        """Shows the application until it is left; the terminal is as before when this returns or raises."""
        try:
            return await self.app.run_async(handle_sigint=False, set_exception_handler=False)
        except EOFError:
            return 0  # the terminal was closed

    def _prepare(self) -> None:
        """Before each drawing: out of the way of what is to be printed, and of what a resize has made of the live area."""
        before, self._drawn = self._drawn, self._columns()
        if not self._pending and before == self._drawn:
            return
        with self._output.held() if isinstance(self._output, OneWrite) else nullcontext():
            self._erase(self._drawn)
            lines, self._pending = self._pending, []
            text: StyleAndTextTuples = [(_class(item), row + "\n") for item in lines for row in rows_of(item, self._drawn)]
            print_formatted_text(self._output, FormattedText(text), STYLE, color_depth=self.app.color_depth)

    def _erase(self, columns: int) -> None:
        screen = self.app.renderer.last_rendered_screen
        if screen is not None:
            widths = [drawn_width(screen.data_buffer[row]) for row in range(screen.height)]
            cursor = screen.get_cursor_position(self.app.layout.current_window)
            self._output.cursor_up(extra_rows(widths, cursor.x, cursor.y, columns))
        self.app.renderer.erase(leave_alternate_screen=False)

    def _layout(self) -> Layout:
        search = SearchToolbar()
        tabs = TabsProcessor(char1=" ", char2=" ")
        control = BufferControl(self.buffer, input_processors=[tabs], search_buffer_control=search.control, preview_search=True)
        field = Window(
            control,
            height=lambda: Dimension(min=1, max=min(INPUT_ROWS, max(self._rows() - 4, 1))),
            get_line_prefix=self._prefix,
            wrap_lines=True,
            dont_extend_height=True,
        )
        queued = ConditionalContainer(self._fixed(self._queue), Condition(lambda: bool(self._content.waiting())))
        area: list[AnyContainer] = [self._fixed(self._tail), queued, field, search, self._fixed(self._status), Window()]
        return Layout(HSplit(area), focused_element=field)

    @staticmethod
    def _fixed(text: Callable[[], StyleAndTextTuples]) -> Window:
        return Window(FormattedTextControl(text, show_cursor=False), dont_extend_height=True)

    def _prefix(self, number: int, wrapped: int) -> StyleAndTextTuples:
        first = number == 0 and wrapped == 0
        return [("class:prompt", ("? " if self._content.asking() else "> ") if first else "  ")]

    def _tail(self) -> StyleAndTextTuples:
        rows: list[Line] = []
        for item in self._content.tail():
            rows += [Line(row, item.style) for row in wrap(item.text, self._columns())]
        room = max(self._rows() - INPUT_ROWS, 3)
        return _joined([*rows[-room:], Line("")])

    def _queue(self) -> StyleAndTextTuples:
        waiting = self._content.waiting()
        more = [line(f"  … and {len(waiting) - QUEUE_ROWS} more", "queued")] if len(waiting) > QUEUE_ROWS else []
        return _joined([Line(clip(item.text, self._columns()), item.style) for item in [*waiting[:QUEUE_ROWS], *more]])

    def _status(self) -> StyleAndTextTuples:
        return _joined([Line(clip(line(self._content.status()).text, self._columns()), "status")])

    def _columns(self) -> int:
        return self._output.get_size().columns

    def _rows(self) -> int:
        return self._output.get_size().rows


def _class(item: Line) -> str:
    return f"class:{item.style}" if item.style else ""


def _joined(lines: Sequence[Line]) -> StyleAndTextTuples:
    fragments: StyleAndTextTuples = []
    for number, item in enumerate(lines):
        fragments.append((_class(item), ("\n" if number else "") + item.text))
    return fragments
