"""Events in, lines out: what the transcript prints, whatever way the events took."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.chat.draft import LONG_LINE
from agentctl.chat.view import Transcript

USAGE = {"input": 3, "output": 4, "cached": 0, "reasoning": 0}
Script = list[tuple[str, dict[str, Any]]]


def numbered(script: Script) -> list[dict[str, Any]]:
    """Events with seqs; kinds of transient ones get none."""
    events, seq = [], 0
    for kind, data in script:
        event: dict[str, Any] = {"stream": "s", "kind": kind, "data": data}
        if kind not in {"delta", "draft_reset"}:
            seq += 1
            event["seq"] = seq
        events.append(event)
    return events


def play(script: Script, transcript: Transcript | None = None) -> list[str]:
    """What is printed."""
    transcript = transcript or Transcript("s")
    return [item.text for event in numbered(script) for item in transcript.apply(event)]


def delta(offset: int, text: str, *, part: int = 0, kind: str = "text", step: int = 0) -> tuple[str, dict[str, Any]]:
    piece = {"part": part, "type": kind, "offset": offset, "text": text, "name": ""}
    return "delta", {"turn": 1, "step": step, "parts": [piece]}


def message(*texts: str, stop: str = "end", kind: str = "text", step: int = 0) -> tuple[str, dict[str, Any]]:
    parts = [{"kind": kind, "text": text} for text in texts]
    return "assistant_message", {"turn": 1, "step": step, "model": "m", "parts": parts, "stop": stop, "usage": USAGE}


def asked(text: str, number: int = 1, delivery: str = "queue") -> Script:
    parts = [{"kind": "text", "text": text}]
    return [("input_accepted", {"input": number, "parts": parts, "delivery": delivery})]


def begun(text: str, number: int = 1) -> Script:
    return [*asked(text, number), ("turn_started", {"turn": number, "input": number, "model": "m"})]


def done(outcome: str = "done", error: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    return "turn_finished", {"turn": 1, "outcome": outcome, "steps": 1, "denials": 0, "usage": USAGE, "error": error}


def planned(call: str, name: str, arguments: str) -> tuple[str, dict[str, Any]]:
    return "tool_planned", {
        "turn": 1,
        "call": call,
        "name": name,
        "arguments_json": arguments,
        "arguments_hash": "h",
        "effect": "read",
    }


def finished(call: str, outcome: str, text: str, seconds: float = 0.0) -> tuple[str, dict[str, Any]]:
    parts = [{"kind": "text", "text": text}]
    return "tool_finished", {"turn": 1, "call": call, "outcome": outcome, "parts": parts, "seconds": seconds}


def watching(seq: int, draft: str | None = None, *, turn: int | None = 1, step: int = 0) -> dict[str, Any]:
    """A view with a draft of one text part."""
    parts = [{"part": 0, "type": "text", "text": draft, "name": ""}]
    shown = None if draft is None else {"turn": 1, "step": step, "parts": parts}
    info = {"id": "s", "title": "t", "model": "m"}
    return {"seq": seq, "boot": "b", "view": {"info": info, "turn": turn, "queue": [], "approvals": [], "draft": shown}}


# --- a plain turn -------------------------------------------------------------------------------------------------------------


def test_a_turn_with_a_tool_reads_like_a_conversation() -> None:
    """Input, text, one line per call, text; blank lines between blocks; nothing said when all went well."""
    script = [
        *begun("what is\n2 + 2?"),
        delta(0, "Let me see.\n\nI ad"),
        delta(17, "d.\n"),
        message("Let me see.\n\nI add.\n", stop="tool_calls"),
        planned("c", "add", '{"a": 2, "b": [1]}'),
        ("tool_started", {"turn": 1, "call": "c"}),
        finished("c", "ok", "4\n", 2.51),
        delta(0, "It is 4", step=1),
        message("It is 4.", step=1),
        done(),
    ]
    assert play(script) == [
        "> what is",
        "  2 + 2?",
        "",
        "Let me see.",
        "",
        "I add.",
        "",
        "● add(a=2, b=[1]) → 4 (2.5 s)",
        "",
        "It is 4.",
    ]


def test_history_alone_reads_the_same() -> None:
    """Without the deltas (the log holds none) the same lines come out."""
    live = [*begun("hi"), delta(0, "one\ntwo\nth"), delta(10, "ree"), message("one\ntwo\nthree"), done()]
    assert play(live) == play([step for step in live if step[0] != "delta"])


def test_reasoning_and_text_are_two_blocks() -> None:
    """Thinking is printed, then the answer."""
    parts = [{"kind": "reasoning", "text": "hm\nhm"}, {"kind": "text", "text": "yes"}]
    final = ("assistant_message", {"turn": 1, "step": 0, "model": "m", "parts": parts, "stop": "end", "usage": USAGE})
    script = [*begun("q"), delta(0, "hm\nhm", kind="reasoning"), delta(0, "ye", part=1), final]
    assert play(script) == ["> q", "", "hm", "hm", "", "yes"]


def test_outcomes_are_said() -> None:
    """Failures, interruptions and limits each leave one clear line; a tool's failure names the outcome."""
    error = {"code": "provider_down", "message": "refused", "retryable": True}
    assert play([*begun("q"), done("failed", error)])[-1] == "error: refused. Send the message again to retry."
    later = {**error, "retry_after": 41.2}
    assert play([*begun("q"), done("failed", later)])[-1] == "error: refused. Send the message again in 42 s to retry."
    asking = {**error, "message": "is it running?", "retry_after": 3600}
    assert play([*begun("q"), done("failed", asking)])[-1] == "error: is it running? Send the message again in 1 h to retry."
    assert play([*begun("q"), delta(0, "so fa"), done("cancelled")])[-3:] == ["so fa", "", "── interrupted ──"]
    assert play([*begun("q"), done("interrupted", error)])[-1] == "── the turn was interrupted: refused ──"
    assert play([*begun("q"), message("x", stop="length")])[-1] == "── the reply reached its length limit ──"
    assert play([*begun("q"), message("x", stop="refused")])[-1] == "── the model refused ──"
    assert play([planned("c", "rm", "{"), finished("c", "not_executed", "crash")]) == ["● rm({) → not executed: crash"]


def test_queue_and_steer() -> None:
    """What waits is known and not printed; it is printed when a turn takes it, whoever typed it."""
    transcript = Transcript("s")
    lines = play([*begun("one"), *asked("two", 2), *asked("three", 3, "steer")], transcript)
    assert lines == ["> one"]
    assert [item.text for item in transcript.queue.values()] == ["two", "three"]
    script = numbered([*begun("one"), *asked("two", 2), *asked("three", 3, "steer"), ("input_steered", {"turn": 1, "input": 3})])
    assert [item.text for item in transcript.apply(script[-1])] == ["> three"]
    assert [item.text for item in transcript.queue.values()] == ["two"]


def test_approval() -> None:
    """A question shows the arguments whole; whoever answers, it is gone and the answer is said."""
    transcript = Transcript("s")
    body = {
        "turn": 1,
        "call": "c",
        "name": "sh",
        "arguments_json": '{"a": "x\\u001b[2J"}',
        "arguments_hash": "h",
        "expires_at": 1.0,
    }
    question = ("approval_requested", body)
    answer = ("approval_answered", {"turn": 1, "call": "c", "decision": "deny", "by": "ann", "note": "no\nnever"})
    assert play([question, answer], transcript) == [
        "? The model wants to use sh:",
        "    a: x␛[2J",
        "",
        "✗ sh was denied by ann: no never",
    ]
    assert not transcript.approvals


def test_running_calls_and_unfinished_lines_are_the_tail() -> None:
    """The live area shows the last line of the text, then the calls under way; what is finished is not in it."""
    transcript = Transcript("s")
    play([*begun("q"), delta(0, "whole\nhal")], transcript)
    assert [item.text for item in transcript.tail()] == ["hal"]
    transcript = Transcript("s")
    play([planned("c", "add", "{}"), ("tool_started", {"turn": 1, "call": "c"})], transcript)
    assert [item.text for item in transcript.tail()] == ["● add() …"]


def test_unknown_kinds_are_passed_over() -> None:
    """A newer daemon's event is counted, and that is all."""
    transcript = Transcript("s")
    assert transcript.apply({"kind": "todo_changed", "seq": 7, "data": {}, "stream": "s"}) == []
    assert transcript.seq == 7


def test_little_markdown() -> None:
    """Headings and code are told apart; a hash without a space is no heading, and one inside code neither."""
    transcript = Transcript("s")
    text = "# Title\n#hash\n```py\n# comment\n\nx\n```\nend"
    styles = {item.text: item.style for event in numbered([message(text)]) for item in transcript.apply(event)}
    assert styles == {
        "# Title": "heading",
        "#hash": "text",
        "```py": "fence",
        "# comment": "code",
        "": "code",
        "x": "code",
        "```": "fence",
        "end": "text",
    }


HOSTILE = "a\x1b]0;owned\x07\x9b2J\rb\u202e"


def test_hostile_text_is_shown_not_obeyed() -> None:
    """From every field that models, tools and other clients fill, no control character reaches a line."""
    transcript = Transcript("s")
    body = {"turn": 1, "call": "c", "name": HOSTILE, "arguments_json": HOSTILE, "arguments_hash": "h", "expires_at": 1.0}
    script = [
        *begun(HOSTILE),
        delta(0, HOSTILE + "\n" + HOSTILE),
        planned("c", HOSTILE, HOSTILE),
        ("tool_started", {"turn": 1, "call": "c"}),
        ("approval_requested", body),
        ("approval_answered", {"turn": 1, "call": "c", "decision": "deny", "by": HOSTILE, "note": HOSTILE}),
    ]
    lines = [item.text for event in numbered(script) for item in transcript.apply(event)]
    lines += [item.text for item in transcript.tail()]
    more = [message(HOSTILE), finished("c", "error", HOSTILE), done("failed", {"message": HOSTILE, "code": "x"})]
    lines += [item.text for event in numbered([*script, *more])[len(script) :] for item in transcript.apply(event)]
    for char in "\x1b\x07\x9b\r\u202e\n":
        assert not any(char in text for text in lines)
    assert sum("owned" in text for text in lines) >= 8


# --- the same text however it comes -------------------------------------------------------------------------------------------

TEXTS = st.text(alphabet="ab #`\n\r中", max_size=60)


def cuts(text: str, points: list[int]) -> list[tuple[int, int]]:
    edges = sorted({0, len(text), *(point % (len(text) + 1) for point in points)})
    return list(pairwise(edges))


@given(TEXTS, st.lists(st.integers(0, 1000)))
def test_any_split_prints_the_same(text: str, points: list[int]) -> None:
    """However deltas cut the text, the printed lines are those of the whole message."""
    pieces = [delta(start, text[start:end]) for start, end in cuts(text, points)]
    assert play([*begun("q"), *pieces, message(text), done()]) == play([*begun("q"), message(text), done()])


@given(TEXTS, st.lists(st.integers(0, 1000)), st.integers(0, 60))
def test_repeats_and_overlaps_are_dropped(text: str, points: list[int], back: int) -> None:
    """Deltas that begin before the end of what we have add only what is new."""
    pieces = [delta(max(start - back, 0), text[max(start - back, 0) : end]) for start, end in cuts(text, points)]
    doubled = [piece for piece in pieces for _ in range(2)]
    assert play([*begun("q"), *doubled, message(text), done()]) == play([*begun("q"), message(text), done()])


@given(TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_the_end_is_true_whatever_was_shown(text: str, shown: int, kept: int) -> None:
    """After a crash the last lines are the daemon's, from the broken line on; a seam says if text is withdrawn."""
    transcript = Transcript("s")
    play([*begun("q"), delta(0, text[:shown])], transcript)
    transcript.lost()
    final = text[:kept] + "END"
    events = numbered([*begun("q"), message(final)])
    lines = [item.text for item in transcript.apply(events[-1])]
    assert lines[-1].endswith("END")
    printed = text[:shown]
    if not final.startswith(printed) and printed.strip():
        assert any("withdrawn" in item for item in lines)


def test_a_line_without_end_is_printed_in_pieces() -> None:
    """The tail stays small, and the pieces do not depend on the split."""
    text = "x" * (2 * LONG_LINE + 10)
    whole = play([message(text)])
    assert [len(item) for item in whole] == [LONG_LINE, LONG_LINE, 10]
    assert play([delta(0, text[:LONG_LINE]), delta(LONG_LINE, text[LONG_LINE:]), message(text)]) == whole


def test_events_come_once() -> None:
    """An event that was seen is dropped when it comes again after a reconnect."""
    transcript = Transcript("s")
    events = numbered([*begun("q"), message("a")])
    first = [item.text for event in events for item in transcript.apply(event)]
    assert first == ["> q", "", "a"]
    assert [item for event in events for item in transcript.apply(event)] == []


# --- breaks -------------------------------------------------------------------------------------------------------------------


def test_attaching_to_a_streaming_turn() -> None:
    """History, then the draft so far, then what comes: no seam, nothing twice."""
    transcript = Transcript("s")
    lines = play(begun("q"), transcript) + [item.text for item in transcript.load(watching(2, "one\ntw"))]
    assert lines == ["> q", "", "one"]
    assert [item.text for item in transcript.tail()] == ["tw"]
    rest = [transcript.apply(event) for event in numbered([delta(4, "two\n"), delta(8, "three")])]
    assert [item.text for lines in rest for item in lines] == ["two"]


def test_a_lost_connection_is_marked_where_the_text_goes_on() -> None:
    """The part of the line that was there, the seam, the rest."""
    transcript = Transcript("s")
    play([*begun("q"), delta(0, "one\ntwo thr")], transcript)
    transcript.lost()
    lines = [item.text for item in transcript.load(watching(2, "one\ntwo three\nfour"))]
    assert lines == ["two thr", "", "── connection lost; continuing ──", "", "ee"]
    assert [item.text for item in transcript.tail()] == ["four"]


@pytest.mark.parametrize("resumed", [False, True], ids=["same daemon", "new daemon"])
def test_a_break_in_which_nothing_was_missed_repeats_nothing(resumed: bool) -> None:
    """The view's draft is exactly what is printed: one seam, and only the rest after it."""
    transcript = Transcript("s")
    play([*begun("q"), delta(0, "one\ntwo thr")], transcript)
    transcript.lost()
    assert [item.text for item in transcript.load(watching(2, "one\ntwo thr"))] == [
        "two thr",
        "",
        "── connection lost; continuing ──",
    ]
    again = [message("one\ntwo thr", stop="interrupted"), ("turn_resumed", {"turn": 1, "resumes": 1}), message("ee", step=1)]
    script = again if resumed else [delta(11, "ee"), message("one\ntwo three")]
    assert play([*begun("q"), *script], transcript) == ["", "ee"]
    assert not transcript.missed


def test_text_that_was_shown_and_not_saved_is_withdrawn() -> None:
    """The daemon's draft is shorter: the seam counts what is gone, and the broken line is printed again from its beginning."""
    transcript = Transcript("s")
    play([*begun("q"), delta(0, "one\ntwo\nthree\nfo")], transcript)
    transcript.lost()
    lines = [item.text for item in transcript.load(watching(2, "one\ntw"))]
    assert lines == ["fo", "", "── connection lost; the last 10 characters are withdrawn ──"]
    assert [item.text for item in transcript.tail()] == ["", "tw"]


def test_a_crash_of_the_daemon_leaves_one_seam() -> None:
    """The interrupted message, the resumption and the view all speak of the same break."""
    transcript = Transcript("s")
    before = [*begun("q"), delta(0, "one\ntwo")]
    play(before, transcript)
    transcript.lost()
    script = [*before, message("one\ntwo", stop="interrupted"), ("turn_resumed", {"turn": 1, "resumes": 1})]
    lines = [item.text for event in numbered(script)[3:] for item in transcript.apply(event)]
    lines += [item.text for item in transcript.load(watching(4, " and three\n", step=1))]
    assert lines == ["two", "", "── the daemon was restarted; continuing ──", "", " and three"]


WITHDRAWN = "── connection lost; the last 5 characters are withdrawn ──"


def test_a_draft_that_was_never_saved_is_withdrawn() -> None:
    """The view knows nothing of it, and the daemon begins the reply again: the seam counts what is gone."""
    for resumed in ([], [("turn_resumed", {"turn": 1, "resumes": 1})]):
        transcript = Transcript("s")
        before: Script = [*begun("q"), delta(0, "abc\nd")]
        play(before, transcript)
        transcript.lost()
        assert transcript.load(watching(2)) == []
        events = numbered([*before, *resumed, delta(0, "new\n")])[3:]
        assert [item.text for event in events for item in transcript.apply(event)] == ["d", "", WITHDRAWN, "", "new"]


def test_a_saved_draft_that_the_view_does_not_know_yet_is_not_withdrawn() -> None:
    """A daemon that has just started shows no draft; the interrupted message tells what was kept."""
    transcript = Transcript("s")
    before: Script = [*begun("q"), delta(0, "abc\ndef")]
    play(before, transcript)
    transcript.lost()
    assert transcript.load(watching(2)) == []
    script = [*before, message("abc\nd", stop="interrupted"), ("turn_resumed", {"turn": 1, "resumes": 1})]
    lines = [item.text for event in numbered(script)[3:] for item in transcript.apply(event)]
    assert lines == [
        "def",
        "",
        "── connection lost; the last 2 characters are withdrawn ──",
        "",
        "d",
        "",
        "── the daemon was restarted; continuing ──",
    ]


def test_a_draft_whose_turn_ended_without_it_is_withdrawn() -> None:
    """The turn could not be resumed, and nothing of the reply was kept."""
    transcript = Transcript("s")
    before: Script = [*begun("q"), delta(0, "abc\nd")]
    play(before, transcript)
    transcript.lost()
    transcript.load(watching(2))
    lines = [item.text for event in numbered([*before, done("interrupted")])[3:] for item in transcript.apply(event)]
    assert lines == ["d", "", WITHDRAWN, "── the turn was interrupted ──"]


def test_a_break_while_idle_is_not_worth_a_word() -> None:
    """Without a running turn a reconnect prints nothing."""
    transcript = Transcript("s")
    play([*begun("q"), message("a"), done()], transcript)
    transcript.lost()
    assert transcript.load(watching(4, turn=None)) == []


def test_a_reply_that_broke_off_goes_on_after_a_seam() -> None:
    """The model's failure is named; what was shown stays."""
    seam = ("reply_restarted", {"turn": 1, "step": 0, "attempt": 1, "reason": {"code": "x", "message": "cut"}})
    script = [*begun("q"), delta(0, "ab"), message("ab", stop="interrupted"), seam, delta(0, "cd", step=1), message("cd", step=1)]
    assert play(script) == ["> q", "", "ab", "", "── the reply broke off (cut); continuing ──", "", "cd"]


def test_a_reset_draft_is_replaced() -> None:
    """The daemon takes a reply back: what was printed of it is withdrawn."""
    reset = ("draft_reset", {"turn": 1, "step": 0, "parts": [{"part": 0, "type": "text", "text": "", "name": ""}]})
    lines = play([*begun("q"), delta(0, "ab\n"), reset, delta(0, "cd\n")])
    assert lines == [
        "> q",
        "",
        "ab",
        "",
        "── the reply was taken back; the last 3 characters are withdrawn ──",
        "",
        "cd",
    ]


def test_a_missed_delta_asks_for_a_fresh_view() -> None:
    """A gap is noticed, nothing false is printed, and the next view mends it."""
    transcript = Transcript("s")
    assert play([*begun("q"), delta(0, "a\n"), delta(5, "z\n")], transcript) == ["> q", "", "a"]
    assert transcript.missed
    assert [item.text for item in transcript.load(watching(2, "a\nbb\nz\n"))] == ["bb", "z"]
    assert not transcript.missed


# --- said elsewhere -----------------------------------------------------------------------------------------------------------


def added(role: str, *parts: dict[str, Any], more: str = "") -> tuple[str, dict[str, Any]]:
    return "message_added", {"role": role, "parts": list(parts), "more": more}


def text(said: str) -> dict[str, Any]:
    return {"kind": "text", "text": said}


def test_a_message_of_several_events_is_one() -> None:
    """It is printed once it is whole; going back to before it means before its first event."""
    transcript = Transcript("s")
    script = [
        ("session_created", {"title": "t", "cwd": "/", "model": "m", "environment": {}, "parent": "abcdefghij"}),
        added("user", text("one"), text("tw"), more="text"),
        added("user", text("o"), more="parts"),
        added("user", text("three")),
        added("assistant", text("so"), more="parts"),
        added("assistant", text("it is"), {"kind": "tool_call", "id": "c", "name": "add", "arguments_json": "{}"}),
        added("tool", {"kind": "tool_result", "call": "c", "parts": [text("no")], "is_error": True}),
        *begun("four"),
    ]
    assert play(script, transcript) == [
        "── earlier, in session abcdefgh ──",
        "",
        "> one",
        "  two",
        "  three",
        "",
        "so",
        "it is",
        "",
        "● add() → error: no",
        "",
        "> four",
    ]
    assert transcript.inputs == [(1, "one\ntwo\nthree"), (8, "four")]


def test_settings_are_told_when_they_change() -> None:
    """Only what is given; the model of the next turns is known."""
    transcript = Transcript("s", "m")
    preferences = {"model": "a/b", "max_steps": None, "instructions": "x\ny", "pinned": False}
    script = [("session_configured", {"preferences": preferences, "variables": {"A": None, "B": ""}})]
    assert play(script, transcript) == ["settings: model=a/b, instructions=x y, pinned=false, var.A taken away, var.B="]
    assert transcript.model == "a/b"


# --- what a reply relies on, what an input shows ----------------------------------------------------------------------------------


def test_sources_stand_below_the_reply() -> None:
    """Each once, in order; without an address the words it relies on."""
    cited = [("", "http://a.test/", "A"), ("", "http://a.test/", "A"), ("as said there", "", "")]
    parts = [{"kind": "citation", "quote": quote, "url": url, "title": title} for quote, url, title in cited]
    kind, data = message("so it is")
    assert play([*begun("q"), (kind, {**data, "parts": [*data["parts"], *parts]})], Transcript("s"))[-4:] == [
        "so it is",
        "",
        "  [1] A http://a.test/",
        "  [2] as said there",
    ]


def test_images_and_files_are_named() -> None:
    image = {"kind": "image", "blob": "b", "bytes": 3, "media": "image/png"}
    file = {"kind": "file", "blob": "b", "bytes": 3, "media": "application/pdf", "name": "a.pdf"}
    accepted, started = begun("look")[0], begun("look")[1]
    accepted[1]["parts"] = [text("look"), image, file]
    assert play([accepted, started], Transcript("s"))[:3] == ["> look", "  [image/png]", "  [a.pdf]"]


def test_an_answer_sent_back_is_told() -> None:
    """The answer that follows is another paragraph."""
    told = play([*begun("q"), message("seven"), ("answer_rejected", {"turn": 1, "reason": "no"})], Transcript("s"))
    assert told[-1] == "── the answer does not follow the schema; asked again ──"


def test_waiting_is_said() -> None:
    """For whom, for how long, and why."""
    waits = {"turn": 1, "step": 0, "model": "b/y", "seconds": 7.5, "reason": "rate\nlimited"}
    assert play([*begun("q"), ("model_waits", waits)])[-1] == "waiting 7.5 s for b/y: rate limited"
