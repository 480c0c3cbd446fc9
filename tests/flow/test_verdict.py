"""The history checker finds every kind of fault: a checker that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest

from tests.fakes import verdict
from tests.fakes.history import Screen, at_rest, valid
from tests.fakes.verdict import Known
from tests.fakes.witness import Witness

S = "5" * 32
CALL = f"{S}-c1"
Log = list[dict[str, Any]]

# --- a history that is as it should be ------------------------------------------------------------------------------------------


def text(words: str) -> list[dict[str, str]]:
    return [{"kind": "text", "text": words}]


def log_of(*events: tuple[str, dict[str, Any]]) -> Log:
    return [
        {"stream": S, "seq": seq, "pos": 2 * seq, "at": 0.5 + seq, "kind": kind, "version": 1, "data": data}
        for seq, (kind, data) in enumerate(events, 1)
    ]


def said(step: int, words: str) -> tuple[str, dict[str, Any]]:
    return "assistant_message", {"turn": 1, "step": step, "parts": text(words), "stop": "end"}


LOG = log_of(
    ("session_created", {"title": ""}),
    ("input_accepted", {"input": 1, "parts": text("pay")}),
    ("turn_started", {"turn": 1, "input": 1}),
    said(0, "Paying."),
    ("tool_planned", {"turn": 1, "call": CALL, "name": "pay"}),
    ("approval_requested", {"turn": 1, "call": CALL}),
    ("approval_answered", {"turn": 1, "call": CALL, "decision": "allow"}),
    ("tool_started", {"turn": 1, "call": CALL}),
    ("tool_finished", {"turn": 1, "call": CALL, "outcome": "ok"}),
    said(1, "Paid."),
    ("turn_finished", {"turn": 1, "outcome": "done"}),
    ("session_renamed", {"title": "one"}),
    ("session_renamed", {"title": "two"}),
    ("input_accepted", {"input": 2, "parts": text("more")}),
)
LINES, TOOLS = {CALL: 1}, ("pay",)


def renumbered(log: Log) -> Log:
    return [{**event, "seq": seq} for seq, event in enumerate(log, 1)]


class Client:
    """A witness and the daemon's side of what it hears."""

    def __init__(self, boot: str = "b1") -> None:
        self.witness = Witness()
        self._number = 0
        self.connect(boot)

    def connect(self, boot: str) -> None:
        self.witness.connects()
        self.did("initialize", {}, boot=boot)

    def did(self, method: str, params: dict[str, Any], **result: Any) -> None:
        self.ask(method, params)
        self.witness.hears({"id": self._number, "result": result})

    def failed(self, method: str, params: dict[str, Any], code: str) -> None:
        self.ask(method, params)
        self.witness.hears({"id": self._number, "error": {"data": {"code": code}}})

    def ask(self, method: str, params: dict[str, Any]) -> None:
        self._number += 1
        self.witness.asks(self._number, method, {"session": S, **params} if method != "session/create" else params)

    def watch(self, seq: int, *, after: int | None = None, boot: str = "b1", draft: dict[str, Any] | None = None) -> None:
        view = {"draft": draft} if after is None else None
        self.did("session/watch", {"after": after}, session=S, seq=seq, boot=boot, view=view)

    def hear(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.witness.hears({"method": "event", "params": event})

    def transient(self, kind: str, **data: Any) -> None:
        self.hear({"stream": S, "kind": kind, "data": data})

    def delta(self, step: int, offset: int, words: str) -> None:
        parts = [{"part": 0, "type": "text", "offset": offset, "text": words}]
        self.transient("delta", turn=1, step=step, parts=parts)


def check(witnesses: Sequence[Witness], logs: dict[str, Log], lines: dict[str, int], tools: Sequence[str]) -> None:
    """Nothing happens while the logs are read."""
    known = Known(witnesses, lines)
    verdict.check(known, logs, known, tools)


def prompt(words: str, key: str = "") -> dict[str, Any]:
    return {"parts": text(words), "key": key}


def writer() -> Client:
    """All that was written into LOG, acknowledged."""
    client = Client()
    client.did("session/create", {"cwd": "/", "key": "c"}, id=S, status="idle")
    client.did("session/prompt", prompt("pay", "p"), input=1, seq=2, turn=1)
    client.did("approval/answer", {"call": CALL, "decision": "allow"})
    client.did("session/rename", {"title": "one"})
    client.did("session/rename", {"title": "two"})
    client.did("session/prompt", prompt("more"), input=2, seq=14, turn=None)
    return client


def asker() -> Client:
    """All that was written into LOG, asked for and never answered."""
    client = Client()
    for method, params in (("prompt", prompt("pay", "p")), ("rename", {"title": "one"}), ("rename", {"title": "two"})):
        client.ask(f"session/{method}", params)
    client.ask("session/prompt", prompt("more"))
    return client


def reader() -> Client:
    """All of LOG seen, on two connections, and asked for on a third."""
    client = asker()
    client.watch(4, after=0)
    client.hear(*LOG[:4])
    client.connect("b2")
    client.watch(9, after=4, boot="b2")
    client.hear(*LOG[4:])
    return client


def test_what_is_as_it_should_be_passes() -> None:
    """Also what nobody can know: unanswered, refused, repeated with its key, seen from the middle, deleted or not."""
    client = writer()
    client.failed("session/prompt", prompt("too much"), "overloaded")
    client.failed("session/rename", {"title": "never"}, "stopping")
    client.ask("session/rename", {"title": "nobody knows"})
    client.ask("session/delete", {})
    client.connect("b2")
    client.did("session/prompt", prompt("pay", "p"), input=1, seq=2, turn=1)
    client.did("session/create", {"cwd": "/", "key": "c"}, id=S, status="running")
    late = Client("b2")
    late.watch(10, boot="b2")
    late.hear(*LOG[10:])
    witnesses = [client.witness, reader().witness, late.witness]
    check(witnesses, {S: LOG}, LINES, TOOLS)
    check(witnesses, {}, {}, TOOLS)
    for end in range(len(LOG)):
        valid(LOG[:end])


# --- faults of the log ----------------------------------------------------------------------------------------------------------


def changed(seq: int, **data: Any) -> Callable[[Log], Log]:
    return lambda log: [{**event, "data": event["data"] | data} if event["seq"] == seq else event for event in log]


def without(seq: int) -> Callable[[Log], Log]:
    return lambda log: renumbered([event for event in log if event["seq"] != seq])


def again(seq: int, **data: Any) -> Callable[[Log], Log]:
    return lambda log: renumbered([*log, {**log[seq - 1], "data": log[seq - 1]["data"] | data}])


def swapped(first: int, second: int) -> Callable[[Log], Log]:
    def swap(log: Log) -> Log:
        log[first - 1], log[second - 1] = log[second - 1], log[first - 1]
        return renumbered(log)

    return swap


FAULTS: dict[str, tuple[Callable[[], Client], Callable[[Log], Log], str]] = {
    "an acknowledged prompt is missing at the end": (writer, without(14), "lost"),
    "an acknowledged prompt is missing in the middle": (writer, without(2), "never accepted"),
    "an acknowledged title is missing": (writer, without(12), "lost"),
    "an acknowledged answer is missing": (writer, without(7), "lost"),
    "an answer was turned round": (writer, changed(7, decision="deny"), "lost"),
    "a prompt was changed": (writer, changed(14, parts=text("less")), "changed"),
    "an event that was seen is missing at the end": (reader, lambda log: log[:-1], "lost"),
    "an event that was seen is missing": (reader, without(12), "lost"),
    "an event that was seen was changed": (reader, changed(10, parts=text("Not paid.")), "changed"),
    "an event that was seen has another time": (reader, lambda log: [*log[:-1], {**log[-1], "at": 7.0}], "changed"),
    "a number became another number": (reader, changed(14, input=2.0), "changed"),
    "keys in another order": (reader, lambda log: [*log[:-1], dict(reversed(log[-1].items()))], "changed"),
    "events seen have changed places": (reader, swapped(12, 13), "changed"),
    "titles of one client have changed places": (writer, swapped(12, 13), "reordered"),
    "a title overtook a prompt": (writer, swapped(13, 14), "lost"),
    "one key, two inputs": (writer, again(2, input=3), "doubled"),
    "a title was written twice": (writer, again(12), "doubled"),
    "a prompt nobody asked for": (writer, again(14, input=3, parts=text("surprise")), "never asked for"),
    "a gap": (writer, lambda log: log[:3] + log[4:], r"\[1, 2, 3, 5"),
    "an event twice": (writer, lambda log: [*log[:3], *log[2:]], r"\[1, 2, 3, 3"),
    "a question answered twice": (writer, again(7), "approval_answered"),
    "two outcomes of a call": (writer, again(9), "tool_finished"),
    "two ends of a turn": (writer, again(11), "turn_finished"),
    "a start behind the outcome": (writer, swapped(8, 9), "tool_started"),
    "a call that was never planned": (writer, without(5), "approval_requested"),
    "an input taken twice": (writer, again(3, turn=2), "taken twice"),
    "a turn left out": (writer, again(3, turn=3, input=2), "begins"),
    "a message of a closed turn": (writer, again(10), "assistant_message"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_log_is_found(name: str) -> None:
    """Each by what it makes untrue."""
    whose, fault, complaint = FAULTS[name]
    client = whose()
    check([client.witness], {S: LOG}, LINES, TOOLS)
    with pytest.raises(AssertionError, match=complaint):
        check([client.witness], {S: fault(deepcopy(LOG))}, LINES, TOOLS)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [({CALL: 2}, "repeated"), ({CALL: 1}, "without its start")],
)
def test_a_fault_of_an_effect_is_found(lines: dict[str, int], complaint: str) -> None:
    """Twice, or before the log knew."""
    log = LOG if complaint == "repeated" else LOG[:7]
    with pytest.raises(AssertionError, match=complaint):
        check([asker().witness], {S: log}, lines, TOOLS)


def test_an_ok_without_its_effect_is_found() -> None:
    """A call that went well has written its line, if its tool does so at all."""
    check([asker().witness], {S: LOG}, {}, ("other",))
    with pytest.raises(AssertionError, match="ok without its effect"):
        check([asker().witness], {S: LOG}, {}, TOOLS)


def test_a_session_that_is_not_there_is_found() -> None:
    """Unless somebody deleted it, or may have."""
    client = writer()
    with pytest.raises(AssertionError, match="not there"):
        check([client.witness], {}, {}, TOOLS)
    client.failed("session/delete", {}, "conflict")
    with pytest.raises(AssertionError, match="not there"):
        check([client.witness], {}, {}, TOOLS)


def test_a_session_that_is_still_there_is_found() -> None:
    """An acknowledged deletion is for ever."""
    client = writer()
    client.did("session/delete", {})
    check([client.witness], {}, {}, TOOLS)
    with pytest.raises(AssertionError, match="still there"):
        check([client.witness], {S: LOG}, LINES, TOOLS)


@pytest.mark.parametrize("answer", [{"input": 1, "seq": 2, "turn": None}, {"input": 2, "seq": 14, "turn": 1}])
def test_another_answer_to_the_same_key_is_found(answer: dict[str, Any]) -> None:
    """Whichever of its fields differs, and whoever got it."""
    other = Client()
    other.did("session/prompt", prompt("pay", "p"), **answer)
    with pytest.raises(AssertionError, match="one key, two answers"):
        check([writer().witness, other.witness], {S: LOG}, LINES, TOOLS)


def test_what_happens_while_logs_are_read_is_nobodys_fault() -> None:
    """What comes meanwhile may be in the log or not; what was known before must be."""
    early, late = Known([Client().witness], {}), Known([writer().witness, reader().witness], LINES)
    for end in range(1, len(LOG) + 1):
        verdict.check(early, {S: LOG[:end]}, late, TOOLS)
    with pytest.raises(AssertionError, match="lost"):
        verdict.check(late, {S: LOG[:13]}, late, TOOLS)


def test_a_key_whose_first_request_was_lost_may_stand_for_another_text() -> None:
    """Nobody knows which of two unanswered requests was heard; one of them is in the log."""
    client = Client()
    for words in ("pay", "never heard"):
        client.ask("session/prompt", prompt(words, "p"))
    check([client.witness], {S: LOG[:11]}, LINES, TOOLS)


def test_what_is_open_is_not_at_rest() -> None:
    """Every beginning of a history that is not its end."""
    done = renumbered(LOG[:13])
    at_rest(done)
    for end in (2, 3, 5, 10):
        with pytest.raises(AssertionError):
            at_rest(LOG[:end])
    with pytest.raises(AssertionError):
        at_rest(LOG)


# --- faults that are heard ------------------------------------------------------------------------------------------------------


def leave_out(client: Client) -> None:
    client.hear(LOG[0], LOG[2])


def repeat(client: Client) -> None:
    client.hear(LOG[0], LOG[1], LOG[1])


def turn_round(client: Client) -> None:
    client.hear(LOG[1], LOG[0])


def say_otherwise(client: Client) -> None:
    client.hear(LOG[0])
    client.watch(14, after=0)
    client.hear({**LOG[0], "data": {"title": "other"}})


def begin_elsewhere(client: Client) -> None:
    client.watch(14, after=3)
    client.hear(LOG[4])


def send_old_things_after_a_view(client: Client) -> None:
    client.watch(14)
    client.hear(LOG[5])


def send_without_a_watch(client: Client) -> None:
    client.connect("b1")
    client.hear(LOG[0])


def send_after_the_end(client: Client) -> None:
    client.hear(LOG[0])
    client.transient("watch_closed", reason="lagged", seq=1)
    client.hear(LOG[1])


def send_after_unwatch(client: Client) -> None:
    client.did("session/unwatch", {})
    client.hear(LOG[0])


def close_elsewhere(client: Client) -> None:
    client.hear(LOG[0])
    client.transient("watch_closed", reason="lagged", seq=2)


def forget_what_was_seen(client: Client) -> None:
    client.hear(*LOG[:5])
    client.connect("b2")
    client.watch(4, after=4, boot="b2")


def forget_what_was_promised(client: Client) -> None:
    client.did("session/prompt", prompt("more"), input=2, seq=20, turn=None)
    client.connect("b2")
    client.watch(19, boot="b2")


def go_back_to_an_old_boot(client: Client) -> None:
    client.connect("b2")
    client.connect("b1")


def leave_a_hole_in_the_text(client: Client) -> None:
    client.hear(*LOG[:3])
    client.delta(0, 3, "ing.")


def keep_another_text(client: Client) -> None:
    client.hear(*LOG[:3])
    client.delta(0, 0, "Paying!")
    client.hear(LOG[3])


def keep_more_than_was_shown(client: Client) -> None:
    client.hear(*LOG[:3])
    client.delta(0, 0, "Pay")
    client.hear(LOG[3])


def stream_behind_the_message(client: Client) -> None:
    client.hear(*LOG[:4])
    client.delta(0, 7, "!")


HEARD: dict[Callable[[Client], None], str] = {
    leave_out: "event 3 after 1",
    repeat: "event 2 after 2",
    turn_round: "event 2 after 0",
    say_otherwise: "event 1 was",
    begin_elsewhere: "event 5 after 3",
    send_old_things_after_a_view: "event 6 after 14",
    send_without_a_watch: "without a watch",
    send_after_the_end: "without a watch",
    send_after_unwatch: "without a watch",
    close_elsewhere: "closed at 2",
    forget_what_was_seen: "newest event is 4",
    forget_what_was_promised: "newest event is 19",
    go_back_to_an_old_boot: "boot b1 is back",
    leave_a_hole_in_the_text: "a hole",
    keep_another_text: "shown",
    keep_more_than_was_shown: "shown",
    stream_behind_the_message: "after its message",
}


@pytest.mark.parametrize("fault", HEARD, ids=lambda fault: fault.__name__)
def test_a_fault_that_is_heard_is_found_at_once(fault: Callable[[Client], None]) -> None:
    """In the client that hears it."""
    client = Client()
    client.watch(0 if fault in (forget_what_was_seen, say_otherwise) else 1, after=0)
    with pytest.raises(AssertionError, match=HEARD[fault]):
        fault(client)


def test_what_a_restart_withdraws_is_not_held_against_it() -> None:
    """Text that was shown and not saved may be gone, whichever way the next watch begins; what became a message stays."""
    client = Client()
    client.watch(1, after=0)
    client.hear(*LOG[:4])
    client.delta(1, 0, "Paid, and")
    client.connect("b2")
    client.watch(9, after=4, boot="b2")
    client.hear(*LOG[4:10])
    assert client.witness.sight(S).screen.text(1) == "Paying.Paid."
    late = Client("b2")
    late.watch(9, boot="b2", draft={"turn": 1, "step": 1, "parts": [{"part": 0, "type": "text", "text": "Pai", "name": ""}]})
    late.delta(1, 3, "d.")
    late.hear(LOG[9])
    assert late.witness.sight(S).screen.text(1) == "Paid."


def test_a_screen_shows_texts_only() -> None:
    """Arguments of calls stream too, and are nobody's text."""
    screen = Screen()
    parts = [
        {"part": 0, "type": "text", "offset": 0, "text": "a"},
        {"part": 1, "type": "tool_call", "offset": 0, "text": "{}"},
    ]
    screen.take({"kind": "delta", "data": {"turn": 1, "step": 0, "parts": parts}})
    assert screen.shown == {(1, 0, 0): "a"}
