"""What each key does. Names of keys are prompt_toolkit's: c-m is Enter, c-j is Ctrl+J, `escape` before a key is Alt."""

from __future__ import annotations

from typing import Protocol

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Filter, has_focus
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


class Actions(Protocol):
    """What keys ask of the chat. `hint` replaces the status line until the input changes."""

    hint: str

    def entered(self, text: str) -> bool:
        """Takes a line that was sent; False leaves it in the input."""

    def interrupt(self) -> bool:
        """Stops the running turn; False if none runs."""

    def steer(self, text: str) -> None: ...
    def next_mode(self) -> None: ...
    def show_todos(self) -> None: ...
    def toggle_details(self) -> None: ...
    def rewind(self) -> None: ...
    def leave(self, code: int) -> None: ...


EXIT_HINT = "Ctrl+C again leaves; what runs goes on in the daemon"
REWIND_HINT = "Esc again goes back to an earlier message"


def bindings(actions: Actions) -> KeyBindings:
    """The key bindings of the input line, beside prompt_toolkit's own (editing, history, Ctrl+R)."""
    keys = KeyBindings()
    editing = has_focus("input")

    @keys.add("c-m", filter=editing)
    def _enter(event: KeyPressEvent) -> None:
        if event.current_buffer.text.strip() and actions.entered(event.current_buffer.text):
            _sent(event.current_buffer)

    @keys.add("escape", "c-m", filter=editing)
    @keys.add("c-j", filter=editing)
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("escape", "s", filter=editing)
    def _steer(event: KeyPressEvent) -> None:
        if event.current_buffer.text.strip():
            actions.steer(event.current_buffer.text)
            _sent(event.current_buffer)

    @keys.add("escape", filter=editing)
    def _interrupt_then_rewind(event: KeyPressEvent) -> None:
        if actions.interrupt() or event.current_buffer.text:
            return
        again, actions.hint = actions.hint == REWIND_HINT, REWIND_HINT
        if again:
            actions.hint = ""
            actions.rewind()

    @keys.add("c-c", filter=editing)
    def _clear_then_leave(event: KeyPressEvent) -> None:
        if actions.hint == EXIT_HINT and not event.current_buffer.text:
            actions.leave(0)
            return
        event.current_buffer.reset()
        actions.hint = EXIT_HINT

    @keys.add("c-d", filter=editing)
    def _delete_or_leave(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.delete()
        else:
            actions.leave(0)

    @keys.add("c-z")
    def _suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    _add_looking(keys, actions, editing)
    return keys


def _add_looking(keys: KeyBindings, actions: Actions, editing: Filter) -> None:
    """What changes nothing in the input."""

    @keys.add("s-tab", filter=editing)
    def _mode(_event: KeyPressEvent) -> None:
        actions.next_mode()

    @keys.add("c-t", filter=editing)
    def _todos(_event: KeyPressEvent) -> None:
        actions.show_todos()

    @keys.add("c-o", filter=editing)
    def _details(_event: KeyPressEvent) -> None:
        actions.toggle_details()


def _sent(buffer: Buffer) -> None:
    buffer.append_to_history()
    buffer.reset()
