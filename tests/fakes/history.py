"""What a session's log says, and what a person who watched it has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def gap_free(log: Sequence[Mapping[str, Any]]) -> None:
    """Sequence numbers are 1, 2, 3, ..."""
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))


def text_of(log: Sequence[Mapping[str, Any]], turn: int) -> str:
    """All that the model said in a turn, as a reader has it in the end."""
    messages = [event["data"] for event in log if event["kind"] == "assistant_message" and event["data"]["turn"] == turn]
    return "".join(part["text"] for message in messages for part in message["parts"] if part["kind"] == "text")


def outcomes(log: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """How each call ended, by its id. Fails if one ended twice."""
    found: dict[str, str] = {}
    for event in log:
        if event["kind"] == "tool_finished":
            assert event["data"]["call"] not in found, f"two outcomes of {event['data']['call']}"
            found[event["data"]["call"]] = event["data"]["outcome"]
    return found


def ends(log: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """How each turn ended, by its number. Fails if one ended twice."""
    found: dict[int, str] = {}
    for event in log:
        if event["kind"] == "turn_finished":
            assert event["data"]["turn"] not in found, f"two ends of turn {event['data']['turn']}"
            found[event["data"]["turn"]] = event["data"]["outcome"]
    return found


class Screen:
    """What a person sees of one session: the texts of events and deltas put together as a client does (docs/protocol.md)."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.shown: dict[tuple[int, int, int], str] = {}  # text by turn, step, part

    def take(self, event: Mapping[str, Any]) -> None:
        data = event["data"]
        if "seq" in event:
            self.seqs.append(event["seq"])
        if event["kind"] == "delta":
            for part in data["parts"]:
                self._add((data["turn"], data["step"], part["part"]), part["offset"], part["text"])
        elif event["kind"] == "draft_reset":
            for key in [key for key in self.shown if key[:2] == (data["turn"], data["step"])]:
                del self.shown[key]
            for part in data["parts"]:
                self._add((data["turn"], data["step"], part["part"]), 0, part["text"])

    def _add(self, key: tuple[int, int, int], offset: int, text: str) -> None:
        known = self.shown.get(key, "")
        assert offset <= len(known), f"a hole in part {key}: {len(known)} characters are here, the next piece is for {offset}"
        self.shown[key] = known + text[len(known) - offset :]


def iterate(path: Path) -> Iterator[list[str]]:
    """The words of each line of a file that tools wrote; none if there is no file."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield line.split()
