"""One client's memory: what it asked, what it was promised, what it saw. tests/fakes/verdict.py holds it against the log.

Theory of operation: `real.Peer` tells its witness of every connection, request and frame. What can be wrong by itself is an
AssertionError in the moment in which it is heard: an event of no watch, doubled, left out or out of order; the same seq with
another content; a cursor or a boot that goes back; shown text that is not what was kept. A witness outlives its connections: so it
knows what a reconnect must not undo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from tests.fakes.history import Event, Screen


@define(eq=False)
class Asked:
    """One request. `answer`: its result, `error`: the code of its refusal; None until one comes, and maybe for ever."""

    connection: int
    method: str
    params: Mapping[str, Any]
    answer: Any = None
    error: str | None = None

    @property
    def acknowledged(self) -> bool:
        return self.answer is not None

    @property
    def possible(self) -> bool:
        """It was obeyed, or may have been."""
        return self.error is None


@define(eq=False)
class Sight:
    """What was seen of one session. `newest`: seq of the newest event seen; `cursor`: that of the open watch, None between watches;
    `known`: the newest seq that exists for all this client knows."""

    events: dict[int, Event] = field(factory=dict)  # by seq
    screen: Screen = field(factory=Screen)
    newest: int = 0
    cursor: int | None = None
    known: int = 0

    @property
    def log(self) -> list[Event]:
        """All that was seen, in order."""
        return [event for _, event in sorted(self.events.items())]

    def begin(self, after: int | None, watching: Mapping[str, Any]) -> None:
        """A watch was granted."""
        seq = watching["seq"]
        assert seq >= self.known, f"the newest event is {seq}, but {self.known} was there before"
        assert (watching["view"] is None) == (after is not None), "a view, and only a view, begins without `after`"
        self.cursor = self.known = seq
        self.screen.lost()
        if after is not None:
            self.cursor = after
        elif draft := watching["view"]["draft"]:
            self.screen.take({"kind": "draft_reset", "data": draft})

    def take(self, event: Event) -> None:
        """An event came."""
        assert self.cursor is not None, f"{event['kind']} {event.get('seq', '')} without a watch"
        if event["kind"] == "watch_closed":
            assert event["data"]["seq"] == self.cursor, f"closed at {event['data']['seq']}, but {self.cursor} was the last"
            self.cursor = None
            return
        if "seq" in event:
            self._count(event)
        self.screen.take(event)

    def _count(self, event: Event) -> None:
        seq = event["seq"]
        assert seq == (self.cursor or 0) + 1, f"event {seq} after {self.cursor}"
        before = self.events.setdefault(seq, event)
        assert exactly(before) == exactly(event), f"event {seq} was {before}, and is {event}"
        self.cursor = seq
        self.newest = max(self.newest, seq)
        self.known = max(self.known, seq)


@define(eq=False)
class Witness:
    """One client, through all its connections, one at a time."""

    asked: list[Asked] = field(factory=list)
    sights: dict[str, Sight] = field(factory=dict)
    _connections: int = 0
    _boots: list[str] = field(factory=list)
    _open: dict[Any, Asked] = field(factory=dict)

    def sight(self, session: str) -> Sight:
        return self.sights.setdefault(session, Sight())

    def connects(self) -> None:
        """A new connection: no answer comes any more on the old one, and no event."""
        self._connections += 1
        self._open.clear()
        for sight in self.sights.values():
            sight.cursor = None

    def asks(self, number: Any, method: str, params: Mapping[str, Any]) -> None:
        self._open[number] = one = Asked(self._connections, method, params)
        self.asked.append(one)

    def hears(self, message: Mapping[str, Any]) -> None:
        """A frame came."""
        if message.get("method") == "event":
            event = message["params"]
            self.sight(event["stream"]).take(event)
        elif one := self._open.pop(message["id"], None):
            if "error" in message:
                one.error = message["error"]["data"]["code"]
            else:
                one.answer = message["result"]
                self._learns(one)

    def _learns(self, one: Asked) -> None:
        answer = one.answer
        match one.method:
            case "initialize":
                self._boots_in(answer["boot"])
            case "session/watch":
                self._boots_in(answer["boot"])
                self.sight(answer["session"]).begin(one.params.get("after"), answer)
            case "session/unwatch":
                self.sight(one.params["session"]).cursor = None
            case "session/prompt":
                sight = self.sight(one.params["session"])
                sight.known = max(sight.known, answer["seq"])

    def _boots_in(self, boot: str) -> None:
        if boot not in self._boots[-1:]:
            assert boot not in self._boots, f"boot {boot} is back after {self._boots[-1]}"
            self._boots.append(boot)


def exactly(event: object) -> str:
    """A JSON value so that two are the same text only if they are the same JSON, in the same order of keys."""
    return json.dumps(event, ensure_ascii=False)
