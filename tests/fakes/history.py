"""What a session's log says, and what a person who watched it has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]
Log = Sequence[Event]


def gap_free(log: Log) -> None:
    """Sequence numbers are 1, 2, 3, ..."""
    seqs = [event["seq"] for event in log]
    assert seqs == list(range(1, len(log) + 1)), f"a gap: {seqs}"


def text_of(log: Log, turn: int) -> str:
    """All that the model said in a turn, as a reader has it in the end."""
    return "".join(said for key, said in texts(log).items() if key[0] == turn)


def texts(log: Log) -> dict[tuple[int, int, int], str]:
    """The texts of all messages by turn, step and part."""
    return {
        (message["turn"], message["step"], index): part["text"]
        for message in _data(log, "assistant_message")
        for index, part in enumerate(message["parts"])
        if part["kind"] == "text"
    }


def outcomes(log: Log) -> dict[str, str]:
    """How each call ended, by its id. Fails if one ended twice."""
    return _once(log, "tool_finished", "call", "outcome")


def ends(log: Log) -> dict[int, str]:
    """How each turn ended, by its number. Fails if one ended twice."""
    return _once(log, "turn_finished", "turn", "outcome")


def answers(log: Log) -> dict[str, str]:
    """How each question was decided, by its call. Fails if one was answered twice."""
    return _once(log, "approval_answered", "call", "decision")


def valid(log: Log) -> None:
    """A log may stop anywhere, but what is in it follows from what is before it: no gap, turns one after the other, each input
    taken once, each call planned, asked about, answered, started and ended at most once and in that order."""
    gap_free(log)
    ends(log)
    turn, turns, waiting = None, 0, set[int]()
    stages = dict[str, int]()
    for event in log:
        kind, data = event["kind"], event["data"]
        assert kind not in _IN_TURN or data["turn"] == turn, f"{kind} of turn {data['turn']} while turn {turn} is open"
        if kind == "input_accepted":
            waiting.add(data["input"])
        if kind in ("turn_started", "input_steered"):
            assert data["input"] in waiting, f"input {data['input']} is taken twice, or was never accepted"
            waiting.remove(data["input"])
        if kind == "turn_started":
            assert turn is None and data["turn"] == turns + 1, f"turn {data['turn']} begins while {turn} is open, after {turns}"
            turn = turns = data["turn"]
        elif kind == "turn_finished":
            turn = None
        elif kind in _STAGES:
            _go_on(stages, data["call"], kind)


def at_rest(log: Log) -> None:
    """Nothing is open: every turn has its end, every input its turn, every call its outcome."""
    valid(log)
    started = [data["turn"] for data in _data(log, "turn_started")]
    assert sorted(ends(log)) == started, f"turns {started}, ends {ends(log)}"
    taken = [data["input"] for kind in ("turn_started", "input_steered") for data in _data(log, kind)]
    assert sorted(taken) == sorted(data["input"] for data in _data(log, "input_accepted"))
    assert {data["call"] for data in _data(log, "tool_planned")} == outcomes(log).keys()


_STAGES = ("tool_planned", "approval_requested", "approval_answered", "tool_started", "tool_finished")
_IN_TURN = ("turn_resumed", "input_steered", "assistant_message", "answer_rejected", "reply_restarted", "turn_finished", *_STAGES)


def _go_on(stages: dict[str, int], call: str, kind: str) -> None:
    stage = _STAGES.index(kind)
    assert (stage == 0) == (call not in stages), f"{kind} of call {call}, which is {_STAGES[stages.get(call, 0)]}"
    assert stage > stages.get(call, -1), f"{kind} of call {call} after {_STAGES[stages[call]]}"
    stages[call] = stage


def _data(log: Log, kind: str) -> Iterator[Mapping[str, Any]]:
    return (event["data"] for event in log if event["kind"] == kind)


def _once(log: Log, kind: str, key: str, value: str) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for data in _data(log, kind):
        assert data[key] not in found, f"two times {kind} of {key} {data[key]}"
        found[data[key]] = data[value]
    return found


class Screen:
    """What a person sees of one session: the texts of events and deltas put together as a client does (docs/protocol.md).

    `shown` has the text by turn, step and part. Whoever sees a reply stream must see exactly what becomes its message.
    """

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.shown: dict[tuple[int, int, int], str] = {}
        self._settled: set[tuple[int, int]] = set()

    def take(self, event: Event) -> None:
        data = event["data"]
        if "seq" in event:
            self.seqs.append(event["seq"])
        if event["kind"] == "delta":
            for part in data["parts"]:
                self._add(data, part, part["offset"])
        elif event["kind"] == "draft_reset":
            self._forget((data["turn"], data["step"]))
            for part in data["parts"]:
                self._add(data, part, 0)
        elif event["kind"] == "assistant_message":
            self._settle((data["turn"], data["step"]), data["parts"])

    def lost(self) -> None:
        """The watch ended: what there was of a reply that is no message yet is not known to be its beginning any more."""
        for step in {key[:2] for key in self.shown} - self._settled:
            self._forget(step)

    def text(self, turn: int) -> str:
        """All that is shown of a turn, in order."""
        return "".join(text for key, text in sorted(self.shown.items()) if key[0] == turn)

    def _add(self, data: Mapping[str, Any], part: Mapping[str, Any], offset: int) -> None:
        if part["type"] == "text":
            key = (data["turn"], data["step"], part["part"])
            known = self.shown.get(key, "")
            assert key[:2] not in self._settled, f"a draft of {key[:2]} after its message"
            assert offset <= len(known), f"a hole in part {key}: {len(known)} characters are here, the next piece is for {offset}"
            self.shown[key] = known + part["text"][len(known) - offset :]

    def _forget(self, step: tuple[int, int]) -> None:
        for key in [key for key in self.shown if key[:2] == step]:
            del self.shown[key]

    def _settle(self, step: tuple[int, int], parts: Sequence[Mapping[str, Any]]) -> None:
        said = {(*step, index): part["text"] for index, part in enumerate(parts) if part["kind"] == "text"}
        shown = [text for key, text in sorted(self.shown.items()) if key[:2] == step]
        assert not shown or "".join(shown) == "".join(said.values()), f"step {step}: shown {shown!r}, kept {said!r}"
        self._forget(step)
        self.shown |= said
        self._settled.add(step)


def iterate(path: Path) -> Iterator[list[str]]:
    """The words of each line of a file that tools wrote; none if there is no file."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield line.split()
