"""Fan-out: order, independence of subscribers, the last word."""

from __future__ import annotations

from attrs import Factory, define

from agentd.core.bus import Bus
from agentwire import events as ev
from agentwire.events import event_frame
from tests.core.logs import event


@define(eq=False)
class Watcher:
    bus: Bus
    leaves_at: int = 1000
    frames: list[tuple[bytes, int | None]] = Factory(list)
    closed: str = ""

    def deliver(self, frame: bytes, seq: int | None) -> None:
        self.frames.append((frame, seq))
        if len(self.frames) >= self.leaves_at:
            self.bus.unsubscribe("s", self)

    def close(self, reason: str) -> None:
        self.closed = reason


def test_everyone_gets_the_same_bytes_in_order() -> None:
    """One frame is made for all; other streams hear nothing."""
    bus = Bus()
    first, second, other = Watcher(bus), Watcher(bus), Watcher(bus)
    bus.subscribe("s", first)
    bus.subscribe("s", second)
    bus.subscribe("t", other)
    for number in range(3):
        bus.publish("s", b"%d" % number, number)
    assert first.frames == second.frames == [(event_frame(b"%d" % n), n) for n in range(3)]
    assert first.frames[0][0] is second.frames[0][0]
    assert other.frames == []


def test_what_was_committed_together_comes_together() -> None:
    """Short events in one piece; a long one ends it, so that what waits for a slow reader is counted as it should be."""
    bus, watcher = Bus(), Watcher(Bus())
    bus.subscribe("s", watcher)
    events = [event(seq, ev.SessionRenamed(title=title)) for seq, title in enumerate(("a", "b" * 20_000, "c", "d"), 1)]
    bus.publish_events("s", events)
    frames = [event_frame(ev.encode_event(one)) for one in events]
    assert watcher.frames == [(frames[0] + frames[1], 2), (frames[2] + frames[3], 4)]


def test_one_that_leaves_while_it_is_told_does_not_disturb_the_others() -> None:
    """A subscriber may unsubscribe inside deliver; leaving twice is nothing."""
    bus = Bus()
    short, long = Watcher(bus, leaves_at=1), Watcher(bus)
    bus.subscribe("s", short)
    bus.subscribe("s", long)
    for number in range(3):
        bus.publish("s", b"x", number)
    bus.unsubscribe("s", short)
    assert (len(short.frames), len(long.frames)) == (1, 3)


def test_closing_tells_each_once_why() -> None:
    """After close the stream has no subscribers."""
    bus = Bus()
    watcher = Watcher(bus)
    bus.subscribe("s", watcher)
    bus.close_all("stopping")
    bus.publish("s", b"x", 1)
    assert watcher.closed == "stopping" and watcher.frames == [] and not bus.watched("s")
