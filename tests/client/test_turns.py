"""What is printed of a turn, and what its result is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentctl.turns import RECONNECTED, TurnResult, TurnText, failure
from agentwire.errors import AuthFailed


def delta(offset: int, text: str, *, part: int = 0, kind: str = "text", step: int = 0) -> tuple[str, dict[str, Any]]:
    return "delta", {"turn": 1, "step": step, "parts": [{"part": part, "type": kind, "offset": offset, "text": text}]}


def message(*texts: str, stop: str = "end", step: int = 0) -> tuple[str, dict[str, Any]]:
    parts = [{"kind": "text", "text": text} for text in texts]
    return "assistant_message", {"turn": 1, "step": step, "parts": parts, "stop": stop}


def reset(text: str) -> tuple[str, dict[str, Any]]:
    return "draft_reset", {"turn": 1, "step": 0, "parts": [{"part": 0, "type": "text", "text": text}]}


RESTARTED = (RECONNECTED, {"boot": "b2", "restarted": True})


def printed(*events: tuple[str, dict[str, Any]]) -> str:
    text = TurnText()
    return "".join(text.feed(kind, data) for kind, data in events) + text.end()


def test_text_comes_once() -> None:
    """Deltas are printed as they come, the message that ends them adds nothing."""
    assert printed(delta(0, "hel"), delta(3, "lo"), message("hello")) == "hello\n"


def test_message_without_deltas() -> None:
    """What was not streamed is printed with its message."""
    assert printed(message("hello\n")) == "hello\n"


def test_repeated_delta_is_dropped() -> None:
    """Text before the end of what is known is a repeat."""
    assert printed(delta(0, "hello"), delta(3, "lo!")) == "hello!\n"


def test_only_text_is_printed() -> None:
    """Reasoning and the arguments of calls are not the answer."""
    assert printed(delta(0, "hm", kind="reasoning"), delta(0, "yes", part=1), delta(0, "{}", part=2, kind="tool_call")) == "yes\n"


def test_steps_are_paragraphs() -> None:
    """Text before and after tool calls does not run together."""
    assert printed(delta(0, "look"), message("look", stop="tool_calls"), delta(0, "done", step=1)) == "look\ndone\n"


def test_interrupted_reply_goes_on_in_its_line() -> None:
    """After a crash the next reply continues the saved one."""
    assert printed(delta(0, "one "), RESTARTED, message("one ", stop="interrupted"), delta(0, "two", step=1)) == "one two\n"


@given(st.text(min_size=1), st.data())
def test_crash_anywhere_is_invisible(text: str, data: st.DataObject) -> None:
    """Whatever of the shown text was saved, if the model says the same again the output is what it would have been."""
    shown = data.draw(st.integers(0, len(text)))
    saved = data.draw(st.integers(0, shown))
    as_draft = data.draw(st.booleans())
    seam = [reset(text[:saved])] if as_draft else [message(text[:saved], stop="interrupted")] if saved else []
    begin, step = (saved, 0) if as_draft else (0, 1)
    rest = text[saved:]
    cut = data.draw(st.integers(0, len(rest)))
    again = [delta(begin, rest[:cut], step=step), delta(begin + cut, rest[cut:], step=step)]
    last = message(text) if as_draft else message(rest, step=1)
    out = printed(delta(0, text[:shown]), RESTARTED, *seam, *again, last)
    assert out == (text if text.endswith("\n") else text + "\n")


def test_other_text_after_a_crash_begins_a_line() -> None:
    """When the model says something else than what was shown and lost, the seam is a new line with the text as it is now."""
    text = TurnText()
    out = [
        text.feed(*event) for event in (delta(0, "a b c"), RESTARTED, reset("a "), delta(2, "b"), delta(3, " x"), message("a b x"))
    ]
    assert "".join(out) == "a b c\nb x"
    assert text.seams == 1


def test_text_that_never_comes_back_is_a_seam() -> None:
    """Shown text that the final message does not have is counted."""
    text = TurnText()
    for event in (delta(0, "a b c"), RESTARTED, reset("a "), message("a ")):
        text.feed(*event)
    assert text.seams == 1


def finished(outcome: str, error: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"turn": 2, "outcome": outcome, "error": error, "steps": 1, "denials": 0, "usage": {}}


def test_result_follows_its_own_input() -> None:
    """A queued input's result begins with the turn that takes it, and ignores the one before."""
    result = TurnResult(7, None)
    result.feed("assistant_message", {"turn": 1, "parts": [{"kind": "text", "text": "other"}], "stop": "end"})
    result.feed("turn_started", {"turn": 2, "input": 7})
    result.feed("assistant_message", {"turn": 2, "parts": [{"kind": "text", "text": "mine"}], "stop": "end"})
    result.feed("turn_finished", finished("done"))
    assert (result.turn, result.text, result.finished) == (2, "mine", finished("done"))


def test_result_is_the_last_message_put_together() -> None:
    """An interrupted message and its continuation are one answer; what came before a tool call is not part of it."""
    result = TurnResult(1, 1)
    for text, stop in (("let me look", "tool_calls"), ("it is ", "interrupted"), ("three", "end")):
        result.feed("assistant_message", {"turn": 1, "parts": [{"kind": "text", "text": text}], "stop": stop})
    assert result.text == "it is three"


def test_denied_calls_are_told_with_their_arguments() -> None:
    """A denial names the tool and its arguments, as JSON where they are JSON."""
    result = TurnResult(1, 1)
    for call, arguments in (("a", '{"x": 1}'), ("b", "{broken")):
        result.feed("tool_planned", {"turn": 1, "call": call, "name": "write", "arguments_json": arguments})
        result.feed("tool_finished", {"turn": 1, "call": call, "outcome": "denied"})
    assert [denial["tool_input"] for denial in result.denials] == [{"x": 1}, "{broken"]


def test_failure_has_the_exit_code_of_its_cause() -> None:
    """The error of a failed turn is the class that its code names; a done turn has none."""
    error = failure(finished("failed", {"code": "auth_failed", "message": "no", "retryable": False}))
    assert isinstance(error, AuthFailed)
    later = failure(finished("failed", {"code": "rate_limited", "message": "no", "retryable": True, "retry_after": 42.0}))
    assert later is not None and later.retry_after == 42
    assert failure(finished("done")) is None
    assert str(failure(finished("interrupted"))) == "the turn was interrupted"
